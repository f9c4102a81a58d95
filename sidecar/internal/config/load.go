package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// DefaultPath is where the daemon looks.
const DefaultPath = "/etc/srrd/srrd.yaml"

// maxFile bounds one file, in bytes; real ones have a few kilobytes.
const maxFile = 1 << 20

// Config is a valid configuration.
type Config struct {
	Machine  machine.Config
	Daemon   Daemon
	Services map[string]Service // the keys are the names in Machine.Services
}

// Load reads srrd.yaml at path and the files of its services_dir. The error is
// of type Problems; then there is no Config.
func Load(path string) (*Config, error) {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return load(path, host)
}

// Default is the configuration of a node that has no files: every key at its
// default, and no service.
func Default() *Config {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	var problems Problems // a host name that cannot be announced is for Load to tell
	daemon, heart := (&rawDaemon{}).valid(&reader{file: DefaultPath, problems: &problems}, filepath.Dir(DefaultPath), host)
	return &Config{Machine: heart, Daemon: daemon, Services: map[string]Service{}}
}

// Check is Load for those who only want to know the problems; nil is none.
func Check(path string) error {
	_, err := Load(path)
	return err
}

// LoadWith is Load as it would be with the files of some services written
// (name to text) and those of others removed. Nothing is written.
func LoadWith(path string, written map[string]string, removed []string) (*Config, error) {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return loadWith(path, host, written, removed)
}

func load(path, host string) (*Config, error) { return loadWith(path, host, nil, nil) }

func loadWith(path, host string, written map[string]string, removed []string) (*Config, error) {
	var problems Problems
	r := &reader{file: path, problems: &problems}
	var raw rawDaemon
	text, err := readFile(path)
	if err != nil {
		r.report(Position{File: path}, "", "%s", err)
		return nil, problems
	}
	if root := r.parse(text); root != nil {
		readMapping(r, node{root, "", Position{File: path, Line: 1, Column: 1}}, daemonKeys, &raw)
	}
	daemon, heart := raw.valid(r, filepath.Dir(path), host)

	files, err := os.ReadDir(daemon.ServicesDir)
	if errors.Is(err, fs.ErrNotExist) && !raw.ServicesDir.Set {
		err = nil // a node without services is a node
	}
	if err != nil {
		r.report(raw.ServicesDir.At, "services_dir", "%s: %s", daemon.ServicesDir, reason(err))
	}
	known := map[string]bool{}
	var services []*loaded
	for _, f := range files {
		file := filepath.Join(daemon.ServicesDir, f.Name())
		name, ok := strings.CutSuffix(f.Name(), ".yaml")
		switch {
		case strings.HasPrefix(f.Name(), "."), f.IsDir():
			continue // an editor's, or the primitives of a service
		case strings.HasSuffix(f.Name(), ".yml"):
			problems = append(problems, Problem{Position{File: file}, "", "want a name that ends in .yaml: this file would not be read"})
			continue
		case !ok, slices.Contains(removed, name), has(written, name):
			continue
		}
		known[name] = true
		text, err := readFile(file)
		if s := loadService(&problems, file, name, text, err, &raw, daemon.ServicesDir); s != nil {
			services = append(services, s)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(written)) {
		known[name] = true
		file := filepath.Join(daemon.ServicesDir, name+".yaml")
		if s := loadService(&problems, file, name, []byte(written[name]), nil, &raw, daemon.ServicesDir); s != nil {
			services = append(services, s)
		}
	}
	// ReadDir sorts by file name, which is not the order of names: a-b.yaml
	// comes before a.yaml.
	slices.SortFunc(services, func(a, b *loaded) int { return strings.Compare(a.m.Name, b.m.Name) })
	together(&problems, services, known, daemon.LossDetection)
	if len(problems) > 0 {
		problems.sort()
		return nil, problems
	}
	c := &Config{Machine: heart, Daemon: daemon, Services: make(map[string]Service, len(services))}
	all := make([]machine.Service, len(services))
	for i, s := range services {
		all[i] = s.m
	}
	for _, s := range services {
		s.m.StopChain = LostHold(s.m.Name, all, 0)
		s.m.Digest = digest(&s.m)
		c.Machine.Services = append(c.Machine.Services, s.m)
		c.Services[s.m.Name] = s.port
	}
	return c, nil
}

func has(m map[string]string, name string) bool {
	_, ok := m[name]
	return ok
}

// loadService makes a service of the text of its file, or of why that could
// not be read.
func loadService(problems *Problems, file, name string, text []byte, err error, d *rawDaemon, servicesDir string) *loaded {
	r := &reader{file: file, problems: problems}
	if err := advert.ValidName(name); err != nil {
		r.report(Position{File: file}, "", "the file's name is the service's: %s", err)
		return nil
	}
	if err != nil {
		r.report(Position{File: file}, "", "%s", err)
		return nil
	}
	before := len(*problems)
	root := r.parse(text)
	if len(*problems) > before {
		return nil
	}
	s := &loaded{}
	readMapping(r, node{root, "", Position{File: file, Line: 1, Column: 1}}, serviceKeys, &s.raw)
	s.m, s.port = s.raw.valid(r, name, d, servicesDir)
	return s
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.New(reason(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, errors.New(reason(err))
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	return text, nil
}

// reason is the system's word without the path, which the Problem has already.
func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

// digest is what two nodes compare to see that they were told the same about a
// service: name, group, dependencies, critical, exclusive, handover, addresses,
// scope, check interval, fall, rise and unknown, on_ospf_loss, start_alone,
// lost_hold, best_effort, fence and members. What a node may have to itself is
// not in it: preference, enabled, directory, environment, timeouts, the grace of
// checks (it may be slow), what is watched (its pid file may lie elsewhere),
// recovery, retry and failback, how the address is put on, and the interface of
// a link scope (eth0 here may be ens3 there).
//
// A key that came later is in it only where it differs from its default: while
// a cluster is upgraded node by node nothing must seem to be configured
// differently.
func digest(s *machine.Service) advert.Digest {
	scope := s.Scope
	scope.Link = ""
	h := sha256.New()
	// Each value is quoted or a number, so no two services share a form.
	fmt.Fprintf(h, "srrd service 1\nname %q\ngroup %q\ndependencies %q\ncritical %t\nexclusive %t\noverlap %t\naddresses %q\nscope %q\n",
		s.Name, s.Group, s.Dependencies, s.Critical, s.Exclusive, s.Overlap, s.Addresses, scope)
	fmt.Fprintf(h, "check %d %d\non_ospf_loss %d\nstart_alone %t\nlost_hold %d\nbest_effort %t\n",
		s.Interval.Milliseconds(), s.Fall, s.OnOSPFLoss, s.StartAlone, s.LostHold.Milliseconds(), s.BestEffort)
	if s.Rise != 1 || s.FallUnknown != s.Fall {
		fmt.Fprintf(h, "rise %d\nunknown %d\n", s.Rise, s.FallUnknown)
	}
	if s.Fence || s.Members != 0 {
		fmt.Fprintf(h, "fence %t\nmembers %d\n", s.Fence, s.Members)
	}
	return advert.Digest(h.Sum(nil))
}
