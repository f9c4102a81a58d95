package vty

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrInUse is in the chain when somebody answers on the socket to be listened on.
var ErrInUse = errors.New("another process answers on it")

// socketFile is a listener that removes its own file and nobody else's.
type socketFile struct {
	*net.UnixListener
	path string
	made fs.FileInfo
	once sync.Once
	err  error
}

func (l *socketFile) Close() error {
	l.once.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.made) {
			os.Remove(l.path)
		}
		l.err = l.UnixListener.Close()
	})
	return l.err
}

// Listen makes the socket of a [Server] at path with these permissions and,
// unless it is -1, this group (see os/user.LookupGroup). What a dead server
// left there is replaced; a living one ([ErrInUse], once for two that start
// together), and anything that is no socket, is an error. Closing the listener
// removes the file if it is still its own.
//
// The socket is bound under another name, gets its group and mode there, and
// is renamed: there is no moment with the wrong permissions.
func Listen(path string, mode os.FileMode, group int) (_ net.Listener, err error) {
	fail := func(err error) (net.Listener, error) { return nil, fmt.Errorf("vty socket %s: %w", path, err) }
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return fail(err)
	}
	defer unlock()
	if err := replaceable(path); err != nil {
		return fail(err)
	}
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return fail(err)
	}
	l.SetUnlinkOnClose(false)
	made, err := dress(fresh, mode, group)
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		l.Close()
		os.Remove(fresh)
		return fail(err)
	}
	return &socketFile{UnixListener: l, path: path, made: made}, nil
}

// Adopt makes a listener of one that another process has made with Listen at
// path. It takes f over.
func Adopt(f *os.File, path string) (net.Listener, error) {
	defer f.Close() // FileListener has its own
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("vty socket %s: %w", path, err)
	}
	u, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		return nil, fmt.Errorf("vty socket %s: a listener on %s was handed over", path, l.Addr())
	}
	u.SetUnlinkOnClose(false)
	made, err := os.Lstat(path)
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("vty socket %s: %w", path, err)
	}
	return &socketFile{UnixListener: u, path: path, made: made}, nil
}

func dress(path string, mode os.FileMode, group int) (fs.FileInfo, error) {
	if group >= 0 {
		if err := os.Chown(path, -1, group); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(path, mode.Perm()); err != nil {
		return nil, err
	}
	return os.Lstat(path)
}

// replaceable says whether path is free or holds a socket that nobody answers.
func replaceable(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("there is something else: %s", info.Mode())
	}
	c, err := net.Dial("unix", path)
	switch {
	case err == nil:
		c.Close()
		return ErrInUse
	case errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.EAGAIN): // its queue is full: alive, if busy
		return ErrInUse
	default:
		return err
	}
}

func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}

// peerOf asks the kernel who connected.
func peerOf(c net.Conn) *Peer {
	var peer *Peer
	onSocket(c, func(fd int) {
		if cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			peer = &Peer{PID: cred.Pid, UID: cred.Uid, GID: cred.Gid}
		}
	})
	return peer
}

// hungUp tells a peer that closed its socket from one that has only shut down
// its sending side.
func hungUp(c net.Conn) bool {
	gone := true
	onSocket(c, func(fd int) {
		fds := []unix.PollFd{{Fd: int32(fd)}} // POLLHUP and POLLERR need no asking
		n, err := unix.Poll(fds, 0)
		gone = err != nil || n > 0 && fds[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
	})
	return gone
}

func onSocket(c net.Conn, f func(fd int)) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := sc.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { f(int(fd)) })
	}
}
