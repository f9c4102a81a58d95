package lab

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
)

// Binaries are the programs that are not FRR's. Paths may be relative.
type Binaries struct {
	Srrd  string `json:"srrd,omitempty"` // "": hosts with srrd: run none
	Srrsh string `json:"srrsh,omitempty"`
	// Srrlab is this package's command; Delay needs it, {{.Srrlab}} names it.
	// Default: the running program, if that is srrlab.
	Srrlab string `json:"srrlab,omitempty"`
}

// Options of Up. The zero value is a lab that belongs to this process.
type Options struct {
	Name     string   `json:"name"` // default: the topology's
	Base     string   `json:"base"` // default /run/srrlab
	Binaries Binaries `json:"binaries"`
	// FRR is what the hosts run that name no version of their own: a directory
	// of daemons, or what a host's version can be. Default: /usr/lib/frr.
	FRR   string            `json:"frr"`
	User  string            `json:"user"`  // FRR's user; default frr
	Group string            `json:"group"` // FRR's group; default frr
	Vars  map[string]string `json:"vars,omitempty"`
	// Detach leaves the lab up when this process ends; Prune spares it then.
	Detach bool `json:"detach"`
	// KeepFailed leaves what a failed Up has made, for looking at.
	KeepFailed bool `json:"keep_failed"`
	// NoWait makes Up return as soon as all daemons run, converged or not.
	NoWait bool `json:"no_wait"`
	// KeepTime names daemons that outrank the others of the lab, as those that
	// must keep time on a loaded machine. Not all of a lab: the kernel's own network
	// threads are ordinary.
	KeepTime []string `json:"keep_time,omitempty"`
	// Log hears what Up does; nil for silence.
	Log *slog.Logger `json:"-"`
}

func (o Options) resolved(t *Topology) (Options, error) {
	if os.Geteuid() != 0 {
		return o, errors.New("a lab needs root: network namespaces, and daemons that change users")
	}
	or(&o.Name, t.Name)
	if !nameRE.MatchString(o.Name) {
		return o, fmt.Errorf("lab name %q: want lower-case letters, digits and dashes, at most 32", o.Name)
	}
	o.Base = baseOr(o.Base)
	or(&o.FRR, defaultFRR)
	or(&o.User, "frr")
	or(&o.Group, "frr")
	if o.Binaries.Srrlab == "" {
		if self, err := os.Executable(); err == nil && filepath.Base(self) == "srrlab" {
			o.Binaries.Srrlab = self
		}
	}
	for _, p := range []*string{&o.Base, &o.Binaries.Srrd, &o.Binaries.Srrsh, &o.Binaries.Srrlab} {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return o, err
		}
		*p = abs
	}
	for _, p := range []string{o.Binaries.Srrd, o.Binaries.Srrsh, o.Binaries.Srrlab} {
		if p != "" {
			if _, err := os.Stat(p); err != nil {
				return o, fmt.Errorf("binary: %w", err)
			}
		}
	}
	return o, nil
}
