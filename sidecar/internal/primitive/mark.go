package primitive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// markFile is the form of a mark on disk.
type markFile struct {
	Version     int    `json:"version"`
	Boot        string `json:"boot_id"`
	Service     string `json:"service"`
	Claim       uint64 `json:"claim"`
	MayStillRun bool   `json:"may_still_run,omitempty"`
	Config      uint64 `json:"config,omitempty"`
}

const markVersion = 1

// bootID is where Linux tells one boot from the next (random(4)); tests have
// their own.
var bootID = "/proc/sys/kernel/random/boot_id"

func boot() (string, error) {
	b, err := os.ReadFile(bootID)
	if err != nil {
		return "", fmt.Errorf("boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// remembered asks until there is an answer, then no more: a start waits for it.
func remembered(ask func() (string, error)) func() (string, error) {
	var mu sync.Mutex
	answer := ""
	return func() (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if answer != "" {
			return answer, nil
		}
		got, err := ask()
		if err == nil {
			answer = got
		}
		return got, err
	}
}

func marksDir(runDir string) string { return filepath.Join(runDir, "marks") }

func writeMark(runDir string, boot func() (string, error), a machine.WriteMark) error {
	if err := advert.ValidName(a.Mark.Service); err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	path := filepath.Join(marksDir(runDir), a.Mark.Service+".json")
	if a.Clear {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	id, err := boot()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(marksDir(runDir), 0o700); err != nil {
		return err
	}
	b, err := json.Marshal(markFile{markVersion, id, a.Mark.Service, uint64(a.Mark.Claim), a.Mark.MayStillRun, a.Mark.Config})
	if err != nil {
		return fmt.Errorf("mark of service %s: %w", a.Mark.Service, err)
	}
	// Whole or not at all, but not synced: a mark outlives srrd, not the machine,
	// and every start waits for it. Only the worker of its service writes it.
	whole := path + ".new"
	if err := os.WriteFile(whole, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("mark of service %s: %w", a.Mark.Service, err)
	}
	if err := os.Rename(whole, path); err != nil {
		return fmt.Errorf("mark of service %s: %w", a.Mark.Service, err)
	}
	return nil
}

// Marks reads what an earlier life left under runDir, sorted by service. Marks
// of an earlier boot are removed: nothing survived that. A damaged mark is set
// aside as NAME.damaged-TIME and reported; as nothing but its file name can be
// believed, its service is returned with claim 0 and MayStillRun, so that it
// is looked for rather than forgotten.
func Marks(runDir string) ([]machine.Mark, []error) {
	entries, err := os.ReadDir(marksDir(runDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, []error{err}
	}
	id, err := boot()
	if err != nil {
		return nil, []error{err}
	}
	var marks []machine.Mark
	var errs []error
	for _, e := range entries {
		service, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || e.IsDir() || advert.ValidName(service) != nil {
			continue
		}
		path := filepath.Join(marksDir(runDir), e.Name())
		f, err := readMark(path, service)
		switch {
		case err != nil:
			aside := path + ".damaged-" + time.Now().UTC().Format("20060102T150405.000000000Z")
			err = fmt.Errorf("mark of service %s is damaged: %w; set aside as %s", service, err, aside)
			if mv := os.Rename(path, aside); mv != nil {
				err = errors.Join(err, mv)
			}
			errs = append(errs, err)
			marks = append(marks, machine.Mark{Service: service, MayStillRun: true})
		case f.Boot != id:
			if err := os.Remove(path); err != nil {
				errs = append(errs, err)
			}
		default:
			marks = append(marks, machine.Mark{Service: service, Claim: advert.Claim(f.Claim), MayStillRun: f.MayStillRun, Config: f.Config})
		}
	}
	return marks, errs
}

func readMark(path, service string) (markFile, error) {
	var f markFile
	b, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return f, err
	}
	switch {
	case f.Version != markVersion:
		return f, fmt.Errorf("version %d: only %d is known", f.Version, markVersion)
	case f.Service != service:
		return f, fmt.Errorf("says it is of service %q", advert.Printable(f.Service))
	case f.Boot == "":
		return f, errors.New("no boot id")
	}
	return f, nil
}
