package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/renameio/v2"

	"github.com/srrd/srrd/sidecar/internal/config"
	"github.com/srrd/srrd/sidecar/internal/primitive"
	"github.com/srrd/srrd/sidecar/internal/web"
)

// serviceFiles is the configuration files as the pages see them.
type serviceFiles struct {
	path    string // of srrd.yaml
	current func() *config.Config
	targets *primitive.Targets // nil: primitives are not looked at

	mu sync.Mutex // one change at a time; guards no memory
}

var _ web.Files = (*serviceFiles)(nil)

func (f *serviceFiles) dir() string { return f.current().Daemon.ServicesDir }

// Services lists the files there are, by name.
func (f *serviceFiles) Services(context.Context) ([]web.ServiceFile, error) {
	entries, err := os.ReadDir(f.dir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("files of services: %w", err)
	}
	var all []web.ServiceFile
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".yaml")
		if !ok || e.IsDir() || strings.HasPrefix(name, ".") {
			continue
		}
		path := filepath.Join(f.dir(), e.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("file of a service: %w", err)
		}
		all = append(all, web.ServiceFile{Name: name, Path: path, Text: string(text)})
	}
	return all, nil
}

// Edit sets keys in the text of a file.
func (f *serviceFiles) Edit(text string, settings []web.Setting) (string, error) {
	var all []config.Setting
	for _, s := range settings {
		all = append(all, config.Setting(s))
	}
	return config.Edit(text, all)
}

// Typed gives the values in the text of a file.
func (f *serviceFiles) Typed(text string) map[string]string { return config.Typed(text) }

// Try tells what loading would say.
func (f *serviceFiles) Try(ctx context.Context, name, text string, remove bool) ([]web.FileProblem, []string, error) {
	written, removed := map[string]string{}, []string(nil)
	switch {
	case remove:
		removed = []string{name}
	case name != "":
		written[name] = text
	}
	c, err := config.LoadWith(f.path, written, removed)
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		return f.told(problems), nil, nil
	case err != nil:
		return nil, nil, err
	}
	var changes []string
	for _, ch := range config.Diff(f.current(), c) {
		changes = append(changes, ch.String())
	}
	// What its directory lacks is no error of the file, but one wants to know.
	if s, ok := c.Services[name]; ok && !remove && f.targets != nil {
		if err := f.targets.Validate(ctx, name, s.Dir, s.User); err != nil {
			changes = append(changes, "but its primitives are not right: "+err.Error())
		}
	}
	return nil, changes, nil
}

// told names the services that problems belong to.
func (f *serviceFiles) told(problems config.Problems) []web.FileProblem {
	var all []web.FileProblem
	for _, p := range problems {
		t := web.FileProblem{Line: p.Line, Column: p.Column, Key: p.Key, Text: p.Text}
		if filepath.Dir(p.File) == filepath.Clean(f.dir()) {
			t.Name = strings.TrimSuffix(filepath.Base(p.File), ".yaml")
		}
		all = append(all, t)
	}
	return all
}

var errChanged = errors.New("its file was changed meanwhile: load the page again")

// still checks that the file is as the person saw it. A name that is none of a
// service was refused by Try; it is refused again before it becomes a path.
func (f *serviceFiles) still(name, old string) (path string, err error) {
	if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return "", fmt.Errorf("%q is no name of a service", name)
	}
	path = filepath.Join(f.dir(), name+".yaml")
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if string(text) != old {
		return "", errChanged
	}
	return path, nil
}

// Write replaces the file of a service atomically, or makes it.
func (f *serviceFiles) Write(_ context.Context, name, old, text string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	path, err := f.still(name, old)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // a link stays one
	}
	return renameio.WriteFile(path, []byte(text), 0o640, renameio.WithExistingPermissions())
}

// Remove takes the file of a service away.
func (f *serviceFiles) Remove(_ context.Context, name, old string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	path, err := f.still(name, old)
	if err != nil {
		return err
	}
	return os.Remove(path)
}
