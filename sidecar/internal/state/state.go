package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// File is the name of the file in the state directory.
const File = "state.json"

const version = 1

// envelope is the file: the memory with what is needed to trust it.
type envelope struct {
	Version int             `json:"version"`
	SHA256  string          `json:"sha256"` // of memory without white space
	Memory  json.RawMessage `json:"memory"`
}

// The forms on disk are those of machine, except for the fields whose types
// print themselves as words for people, which could not be read back: an outer
// field hides the inner one of its name. A test fills every field and compares.
type (
	memory struct {
		machine.Memory
		Node     uint8              `json:"node"`
		Services map[string]service `json:"services,omitempty"`
	}
	service struct {
		machine.ServiceMemory
		MayRun map[machine.RouterID]mayRun `json:"may_run,omitempty"`
	}
	mayRun struct {
		machine.MayRunMark
		Claim uint64 `json:"claim"`
	}
)

func toDisk(m machine.Memory) memory {
	d := memory{Memory: m, Node: uint8(m.Node)}
	if m.Services != nil {
		d.Services = make(map[string]service, len(m.Services))
	}
	for name, s := range m.Services {
		o := service{ServiceMemory: s}
		if s.MayRun != nil {
			o.MayRun = make(map[machine.RouterID]mayRun, len(s.MayRun))
		}
		for r, k := range s.MayRun {
			o.MayRun[r] = mayRun{k, uint64(k.Claim)}
		}
		d.Services[name] = o
	}
	return d
}

func fromDisk(d memory) machine.Memory {
	m := d.Memory
	m.Node = advert.NodeState(d.Node)
	m.Services = nil
	if d.Services != nil {
		m.Services = make(map[string]machine.ServiceMemory, len(d.Services))
	}
	for name, s := range d.Services {
		o := s.ServiceMemory
		o.MayRun = nil
		if s.MayRun != nil {
			o.MayRun = make(map[machine.RouterID]machine.MayRunMark, len(s.MayRun))
		}
		for r, k := range s.MayRun {
			k.MayRunMark.Claim = advert.Claim(k.Claim)
			o.MayRun[r] = k.MayRunMark
		}
		m.Services[name] = o
	}
	return m
}

// Save writes m to dir, which is made if it does not exist.
func Save(dir string, m machine.Memory) error {
	b, err := encode(m)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	// renameio syncs the file before the rename; the rename itself is on the
	// disk with the directory.
	if err := renameio.WriteFile(filepath.Join(dir, File), b, 0o640, renameio.WithTempDir(dir)); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

// Load reads the memory. A file that does not exist is a node that never ran:
// no warning. Any other trouble is a warning, with the zero Memory.
func Load(dir string) (machine.Memory, error) {
	path := filepath.Join(dir, File)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return machine.Memory{}, nil
	}
	if err != nil {
		return machine.Memory{}, fmt.Errorf("state: %w", err)
	}
	m, err := decode(b)
	if err == nil {
		return m, nil
	}
	aside := path + ".damaged-" + time.Now().UTC().Format("20060102T150405.000000000Z")
	err = fmt.Errorf("state in %s cannot be used: %w; set aside as %s, going on without", path, err, aside)
	if mv := os.Rename(path, aside); mv != nil {
		err = errors.Join(err, mv)
	}
	return machine.Memory{}, err
}

func encode(m machine.Memory) ([]byte, error) {
	inner, err := json.Marshal(toDisk(m))
	if err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(envelope{version, sum(inner), inner}, "", " ")
	return append(b, '\n'), err
}

func decode(b []byte) (machine.Memory, error) {
	var e envelope
	if err := json.Unmarshal(b, &e); err != nil {
		return machine.Memory{}, err
	}
	if e.Version != version {
		return machine.Memory{}, fmt.Errorf("version %d: only %d is known", e.Version, version)
	}
	var inner bytes.Buffer
	if err := json.Compact(&inner, e.Memory); err != nil {
		return machine.Memory{}, fmt.Errorf("memory: %w", err)
	}
	if got := sum(inner.Bytes()); got != e.SHA256 {
		return machine.Memory{}, fmt.Errorf("checksum %.16s..., want %.16s...: altered or torn", got, e.SHA256)
	}
	var d memory
	if err := json.Unmarshal(inner.Bytes(), &d); err != nil {
		return machine.Memory{}, err
	}
	return fromDisk(d), nil
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
