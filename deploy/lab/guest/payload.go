package guest

import (
	"archive/tar"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// What the machine gets besides srrd: its networks, its neighbour, its services,
// and the words of the checks.
//
//go:embed all:files
var files embed.FS

// payload writes the second disk: files, the tree that `make install` made, and
// the agent.
func payload(to, tree, self string) (err error) {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	put := func(name string, mode int64, text []byte) error {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(text)), Uname: "root", Gname: "root"}); err != nil {
			return err
		}
		_, err := w.Write(text)
		return err
	}
	err = fs.WalkDir(files, "files", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		if name == "files/agent" {
			return put("agent", 0o755, text)
		}
		return put(name, 0o644, text)
	})
	if err != nil {
		return err
	}
	if err := filepath.WalkDir(tree, func(from string, d fs.DirEntry, err error) error {
		if err != nil || from == tree {
			return err
		}
		return add(w, path.Join("tree", strings.TrimPrefix(filepath.ToSlash(from), filepath.ToSlash(tree)+"/")), from)
	}); err != nil {
		return fmt.Errorf("what `make install` made: %w", err)
	}
	if err := add(w, "srrguest", self); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	// A disk has whole sectors.
	at, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	return f.Truncate((at + 511) / 512 * 512)
}

// add puts a file or directory into the tar file as it is, but as root's.
func add(w *tar.Writer, name, from string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	var to string
	if info.Mode()&fs.ModeSymlink != 0 {
		if to, err = os.Readlink(from); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, to)
	if err != nil {
		return err
	}
	h.Name, h.Uid, h.Gid, h.Uname, h.Gname = name, 0, 0, "root", "root"
	if err := w.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}
