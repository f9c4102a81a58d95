package lab

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// prepare writes a host's files and returns its daemons in starting order.
func (l *Lab) prepare(h *Host) ([]*daemon, error) {
	v := l.Vars(h.Name)
	if n := len(v.ZservPath); n > 107 { // sun_path (unix(7))
		return nil, fmt.Errorf("host %s: socket path %s is %d bytes, the kernel takes 107: choose a shorter base or name", h.Name, v.ZservPath, n)
	}
	for _, dir := range []string{v.Dir, v.RunDir, v.StateDir, v.LogDir, v.ServicesDir, v.VtyDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	files, err := l.hostFiles(h, v)
	if err != nil {
		return nil, err
	}
	for rel, text := range files {
		path := filepath.Join(v.Dir, rel)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if filepath.Base(rel) == "keys" {
			mode = 0o600 // srrd refuses secrets that others can read
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			return nil, err
		}
	}
	var out []*daemon
	if h.RunsFRR() {
		if err := l.ownFRR(v.VtyDir); err != nil {
			return nil, err
		}
		out = l.frrDaemons(h, v)
	}
	for _, d := range h.Daemons {
		one, err := l.custom(h, v, d)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	if h.Srrd != nil && l.opts.Binaries.Srrd != "" {
		args := h.Srrd.Args
		if len(args) == 0 {
			args = []string{"--config", "{{.SrrdConfig}}"}
		}
		one, err := l.custom(h, v, Daemon{Name: "srrd", Command: append([]string{"{{.Srrd}}"}, args...), Env: h.Srrd.Env, Ready: h.Srrd.Ready})
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// hostFiles returns all files of a host, path relative to its directory to text.
func (l *Lab) hostFiles(h *Host, v Vars) (map[string]string, error) {
	files := map[string]string{}
	if h.RunsFRR() {
		for name, text := range l.topo.frrFiles(h) {
			files["frr/"+name] = text
		}
		if l.releases[h.Name].Suite != "" {
			// In a root of its own /etc/frr is this directory: what vtysh writes goes
			// into the daemons' own files, which they start from.
			files["frr/vtysh.conf"] = "no service integrated-vtysh-config\n"
		}
	}
	if s := h.Srrd; s != nil {
		files["srrd.yaml"] = s.Config
		if s.ConfigFile != "" {
			path := s.ConfigFile
			if !filepath.IsAbs(path) {
				path = filepath.Join(l.topo.dir, path)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("host %s: config_file: %w", h.Name, err)
			}
			files["srrd.yaml"] = string(b)
		}
		for name, text := range s.Services {
			files["services.d/"+name+".yaml"] = text
		}
		for name, text := range s.Files {
			files[name] = text
		}
	}
	for name, text := range h.Files {
		files[name] = text
	}
	for name, text := range files {
		out, err := v.expand("file "+name, text)
		if err != nil {
			return nil, err
		}
		files[name] = out
	}
	return files, nil
}

func (l *Lab) custom(h *Host, v Vars, d Daemon) (*daemon, error) {
	out := &daemon{Host: h.Name, Name: d.Name}
	for _, word := range d.Command {
		w, err := v.expand("command of "+d.Name, word)
		if err != nil {
			return nil, err
		}
		out.Argv = append(out.Argv, w)
	}
	for key, value := range d.Env {
		w, err := v.expand("environment of "+d.Name, value)
		if err != nil {
			return nil, err
		}
		out.Env = append(out.Env, key+"="+w)
	}
	var err error
	out.Ready, err = v.expand("ready of "+d.Name, d.Ready)
	return out, err
}

// ownFRR gives FRR's directory to FRR's user: its daemons drop root before
// they make their sockets.
func (l *Lab) ownFRR(dir string) error {
	u, err := user.Lookup(l.opts.User)
	if err != nil {
		return fmt.Errorf("FRR's user: %w (Debian: apt install frr)", err)
	}
	g, err := user.LookupGroup(l.opts.Group)
	if err != nil {
		return fmt.Errorf("FRR's group: %w", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, uid, gid)
	})
}
