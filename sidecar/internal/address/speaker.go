package address

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/vty"
)

// VTY is what the port needs of the routing daemons; *vty.Router has it.
type VTY interface {
	Configure(ctx context.Context, c vty.Class, lines ...string) error
	Running(ctx context.Context, d vty.Daemon) (vty.Block, error)
	OSPFState(ctx context.Context) (vty.OSPFState, error)
	Release(ctx context.Context, d vty.Daemon) (vty.Release, error)
	OwnExternals(ctx context.Context) ([]vty.External, error)
}

// vtyPatience bounds one job: a frozen daemon answers neither yes nor no.
const vtyPatience = 5 * time.Second

// lookEvery is how often ospfd is asked whether what was set in it is still
// there. The answer costs it some 70 µs (FRR-FACTS A1), and nothing is flooded.
const lookEvery = 2 * time.Second

// jobKind is what a job of the speaker is about.
type jobKind uint8

const (
	jobNetwork jobKind = iota // the statement in ospfd
	jobAddress                // the line in zebra or mgmtd
	jobPermit                 // the entry of the prefix-list
	jobPrepare
	jobStill  // stands still
	jobForget // what ospfd announces of the table
)

// job is one thing to be said to a daemon.
type job struct {
	kind   jobKind
	addr   netip.Addr
	on     bool
	again  bool       // jobAddress: the line is there but the address is not
	area   netip.Addr // jobNetwork
	device string     // jobAddress
	seq    uint64
	done   chan error // jobPrepare, jobForget
	still  *still     // jobStill
}

// result is what became of a job.
type result struct {
	job job
	err error
}

// speaker does all VTY work, one job after another, and owns the residue.
type speaker struct {
	vty      VTY
	file     string
	table    uint16
	services func() []Service
	log      func(machine.Level, string)

	noted   residue
	wished  map[netip.Addr]netip.Addr // statements wanted now -> area
	lines   map[vtyAddress]bool       // address lines wanted now
	kept    map[netip.Addr]bool
	foreign map[netip.Addr]bool // statements of the operator, as of the last Prepare
	permits map[netip.Addr]bool // let through, as of the last Prepare
	set     bool                // the last Prepare has set everything
	said    []string            // what was last said of what is there
	trouble string              // why the last look came to nothing, as told

	announced map[netip.Addr]bool // by `redistribute connected`
	// withheld was withdrawn while ospfd had no zebra to hear that from. It goes on
	// announcing what it was told last, also under the next zebra; but what the
	// prefix-list denies it flushes. So such an address is let through again only
	// when it is announced.
	withheld map[netip.Addr]bool
	// ended is what ospfd should not announce: withdrawn a short while ago, or not
	// announced here since the session with it began. How often was looked since?
	ended map[netip.Addr]int
	// deaf: Quagga 1.0 to 1.2 frees what it redistributes when it loses zebra and
	// keeps nothing in its place (lib/zclient.c, zclient_stop): until it is
	// restarted it takes the line, does nothing and shows nothing.
	deaf bool
}

// errDeaf is why a deaf ospfd announces no address.
var errDeaf = errors.New("ospfd of Quagga has lost zebra and redistributes nothing new until it is restarted; announce: network does not depend on that")

// errNoRouter: ospfd has nothing to set lines in.
var errNoRouter = errors.New("ospfd runs without `router ospf`")

func (s *speaker) do(ctx context.Context, j job) error {
	ctx, cancel := context.WithTimeoutCause(ctx, vtyPatience, fmt.Errorf("no answer within %v", vtyPatience))
	defer cancel()
	switch j.kind {
	case jobNetwork:
		delete(s.kept, j.addr)
		return s.network(ctx, j)
	case jobAddress:
		delete(s.kept, j.addr)
		return s.address(ctx, j)
	case jobPermit:
		if s.kept[j.addr] && !j.on { // an earlier life has announced it
			s.announced[j.addr] = true
		}
		delete(s.kept, j.addr)
		return s.permit(ctx, j.addr, j.on)
	case jobPrepare:
		s.deaf = false // it may be another one
		for _, addr := range viaConnected(s.services()) {
			if _, known := s.ended[addr]; !known && !s.announced[addr] && !s.withheld[addr] {
				s.ended[addr] = 0 // maybe: this life of srrd does not know
			}
		}
		return s.prepare(ctx, false)
	case jobForget:
		s.forget(ctx)
		return nil
	}
	return fmt.Errorf("address: no job of kind %d", j.kind)
}

// note writes what is about to be set to the state file.
func (s *speaker) note(r residue) error {
	if r.equal(s.noted) {
		return nil
	}
	if err := writeResidue(s.file, r); err != nil {
		return fmt.Errorf("noting what is set in FRR: %w", err)
	}
	s.noted = r
	return nil
}

func (s *speaker) network(ctx context.Context, j job) error {
	if !j.on {
		area, wished := s.wished[j.addr]
		if !wished {
			area = j.area
		}
		delete(s.wished, j.addr)
		return s.noNetwork(ctx, j.addr, area)
	}
	if s.foreign[j.addr] {
		return fmt.Errorf("ospfd has a statement `network %s/32` already and it is not ours: it would announce the address before the service runs; remove it", j.addr)
	}
	s.wished[j.addr] = j.area // Prepare says it again to a restarted ospfd
	state, err := s.vty.OSPFState(ctx)
	if err != nil {
		return err
	}
	if !state.Running { // `router ospf` would begin an instance of our making
		return errNoRouter
	}
	r := s.noted.clone()
	old, noted := r.network(j.addr)
	if noted && old != j.area {
		if err := s.noNetwork(ctx, j.addr, old); err != nil {
			return err
		}
		r.Networks = without(r.Networks, network{j.addr, old})
	}
	r.Networks = add(r.Networks, network{j.addr, j.area}, compareNetworks)
	if err := s.note(r); err != nil {
		return err
	}
	return s.vty.Configure(ctx, vty.ClassOSPF, "router ospf", networkLine(j.addr, j.area))
}

func (s *speaker) noNetwork(ctx context.Context, addr, area netip.Addr) error {
	if _, noted := s.noted.network(addr); !noted {
		return nil // never set by us
	}
	state, err := s.vty.OSPFState(ctx)
	if vty.NotRunning(err) || err == nil && !state.Running {
		return nil // what it had been told ended with it
	}
	if err != nil {
		return err
	}
	err = s.vty.Configure(ctx, vty.ClassOSPF, "router ospf", "no "+networkLine(addr, area))
	var refused *vty.StatusError
	if errors.As(err, &refused) && refused.Status == vty.StatusConfigFailed {
		return nil // "Can't find specified network area configuration.": so be it
	}
	return err
}

// address sets or removes the line of driver vty. Whether the kernel follows is
// for the worker to see.
func (s *speaker) address(ctx context.Context, j job) error {
	line := fmt.Sprintf("ip address %s/32 label %s", j.addr, Label(j.device))
	v := vtyAddress{j.addr, j.device}
	delete(s.lines, v)
	if j.on {
		s.lines[v] = true
	}
	if !j.on && !slices.Contains(s.noted.Addresses, v) {
		return nil // never set by us
	}
	if !j.on || j.again {
		err := s.vty.Configure(ctx, vty.ClassAddress, "interface "+j.device, "no "+line)
		var refused *vty.StatusError
		if errors.As(err, &refused) && refused.Status == vty.StatusConfigFailed {
			err = nil // not there, or not zebra's: 7.5 and 8.4 say 13 without a word
		}
		if !j.on && vty.NotRunning(err) {
			return nil // still noted: a saved line would come back with the daemon
		}
		if err != nil {
			return err
		}
	}
	r := s.noted.clone()
	if !j.on {
		r.Addresses = without(r.Addresses, v)
		return s.note(r)
	}
	r.Addresses = add(r.Addresses, v, compareAddresses)
	if err := s.note(r); err != nil {
		return err
	}
	return s.vty.Configure(ctx, vty.ClassAddress, "interface "+j.device, line)
}

// permit lets an address through that Prepare did not know of: a service that
// was configured later. Nothing is asked where it is known to pass.
func (s *speaker) permit(ctx context.Context, addr netip.Addr, on bool) error {
	if !on {
		was := s.announced[addr]
		delete(s.announced, addr)
		switch {
		case s.deaf:
			return s.prepare(ctx, false)
		case was && s.orphaned(ctx):
			s.withheld[addr] = true
			return s.prepare(ctx, false)
		case was:
			s.ended[addr] = 0
		}
		return nil
	}
	delete(s.ended, addr)
	if s.deaf && !s.announced[addr] {
		return errDeaf
	}
	s.announced[addr] = true
	if s.withheld[addr] {
		delete(s.withheld, addr)
		return s.prepare(ctx, false)
	}
	passes, known := s.permits[addr]
	if known && !passes {
		return fmt.Errorf("prefix-list %s in ospfd denies %s", PolicyName, addr)
	}
	if known {
		return nil
	}
	return s.prepare(ctx, false)
}

// orphaned reports whether there is no zebra to tell ospfd of a withdrawal. One
// that hangs will tell it later.
func (s *speaker) orphaned(ctx context.Context) bool {
	_, err := s.vty.Release(ctx, vty.Zebra)
	return vty.NotRunning(err)
}

// look puts back what somebody has taken out of ospfd since the last Prepare:
// an operator, or frr-reload.py, which removes what its file does not have. An
// address that is not announced serves nobody, and a node that redistributes
// nothing is no AS boundary router, which other areas take for unreachable.
//
// An ospfd that is not there, or has no `router ospf` at the moment, is no news
// here: its session ends, and Prepare comes with the next one. All else that
// keeps from looking, or from putting back, is told once as long as it stays so.
func (s *speaker) look(ctx context.Context) {
	if !s.set {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, vtyPatience, fmt.Errorf("no answer within %v", vtyPatience))
	defer cancel()
	err := s.prepare(ctx, true)
	if err == nil {
		err = s.verify(ctx)
	}
	switch {
	case err == nil && s.trouble != "":
		s.trouble = ""
		s.log(machine.LevelInfo, "what services need in ospfd is looked after again")
	case err == nil, vty.NotRunning(err), errors.Is(err, errNoRouter):
	case err.Error() != s.trouble:
		s.trouble = err.Error()
		s.log(machine.LevelWarning, "whether ospfd still has the lines that services need is not known, or they could not be put back; it is tried again: "+s.trouble)
	}
}

// verifyLooks is how many looks a withdrawal may take to be seen.
const verifyLooks = 2

// verify looks whether ospfd has let go of what was withdrawn: it loses zebra for
// ten seconds and more when that is started anew, and hears nothing then.
func (s *speaker) verify(ctx context.Context) error {
	ended := 0
	for addr := range s.ended {
		if !s.kept[addr] { // else nobody has decided
			ended++
		}
	}
	if ended == 0 {
		return nil
	}
	release, err := s.vty.Release(ctx, vty.OSPF)
	if err != nil {
		return err
	}
	if !release.FRR() { // it has no words for it; see deaf
		clear(s.ended)
		return nil
	}
	own, err := s.vty.OwnExternals(ctx)
	var refused *vty.StatusError
	if errors.As(err, &refused) { // it cannot say
		clear(s.ended)
		return nil
	}
	if err != nil {
		return err
	}
	kept := false
	for addr := range s.ended {
		if s.kept[addr] {
			continue
		}
		if s.ended[addr]++; s.ended[addr] < verifyLooks {
			continue
		}
		delete(s.ended, addr)
		if slices.ContainsFunc(own, func(x vty.External) bool {
			return x.Prefix == netip.PrefixFrom(addr, addr.BitLen()) && x.Age < maxAge
		}) {
			s.withheld[addr], kept = true, true
			s.log(machine.LevelInfo, fmt.Sprintf("ospfd announces %s, which does not run here: prefix-list %s denies it, so that it is flushed, until the service runs here",
				addr, PolicyName))
		}
	}
	if !kept {
		return nil
	}
	return s.prepare(ctx, false)
}

// maxAge is that of an LSA that is being flushed (RFC 2328 B, MaxAge).
const maxAge = time.Hour

// forget has ospfd flush what it announces of our table: the line goes and comes
// back. ospfd keeps what zebra told it last, also when zebra is gone (8.4.4), but
// lets go of it with the line, and asks zebra anew once there is one.
func (s *speaker) forget(ctx context.Context) {
	lines, err := s.redistribution(ctx)
	if err == nil && len(lines) > 0 {
		err = s.vty.Configure(ctx, vty.ClassOSPF, append([]string{"router ospf"}, lines...)...)
	}
	switch {
	case err == nil && len(lines) > 0:
		s.log(machine.LevelInfo, "there is no zebra to withdraw routes: ospfd was made to forget what it announced of the table")
	case err != nil && !vty.NotRunning(err): // else it announces nothing
		s.log(machine.LevelWarning, "there is no zebra to withdraw routes, and ospfd goes on announcing them: "+err.Error())
	}
}

// redistribution gives the lines that take out and set again the redistribution
// of our table, as it stands in ospfd.
func (s *speaker) redistribution(ctx context.Context) ([]string, error) {
	running, err := s.vty.Running(ctx, vty.OSPF)
	if err != nil {
		return nil, err
	}
	b, ok := running.Block("router ospf")
	if !ok || s.table == 0 {
		return nil, nil
	}
	bare := fmt.Sprintf("redistribute table %d", s.table)
	rest, ok := b.Value(bare)
	if !ok {
		return nil, nil
	}
	return []string{"no " + bare, strings.TrimSpace(bare + " " + rest)}, nil
}

// prepare brings ospfd's policy and statements up to date. What is missing
// although it has been set is said to be so.
func (s *speaker) prepare(ctx context.Context, again bool) error {
	running, err := s.vty.Running(ctx, vty.OSPF)
	if err != nil {
		return err
	}
	if _, ok := running.Block("router ospf"); !ok {
		return errNoRouter
	}
	release, err := s.vty.Release(ctx, vty.OSPF)
	if err != nil {
		return err
	}
	switch router, _ := running.Block("router ospf"); {
	case s.deaf && redistributes(router):
		s.deaf = false
	case !s.deaf && !redistributes(router):
		// It was started anew, or somebody took the line out: either way it keeps
		// nothing of what it was told. Whether it shows it all the same, as it may
		// beside routers of 7.5.1, is looked at again.
		for addr := range s.withheld {
			s.ended[addr] = 0
		}
		clear(s.withheld)
	}
	p := prepare(situation{
		deaf: s.deaf, announced: s.announced, withheld: s.withheld,
		running: running, services: s.services(), table: s.table, quagga: !release.FRR(),
		noted: s.noted, wished: s.wished, kept: s.kept,
	})
	if err := s.note(p.noted); err != nil {
		return err
	}
	if err := s.vty.Configure(ctx, vty.ClassPolicy, p.policy...); err != nil {
		return err
	}
	if len(p.ospf) > 0 {
		if err := s.vty.Configure(ctx, vty.ClassOSPF, append([]string{"router ospf"}, p.ospf...)...); err != nil {
			return err
		}
	}
	if release.Suite == "Quagga" && redistributes(vty.Block{Sub: lines(p.ospf)}) {
		if running, err = s.vty.Running(ctx, vty.OSPF); err != nil {
			return err
		}
		if router, _ := running.Block("router ospf"); !redistributes(router) {
			s.log(machine.LevelWarning, errDeaf.Error())
			s.deaf = true
			return s.prepare(ctx, again)
		}
	}
	s.foreign, s.permits = p.foreign, p.permits
	s.tell(p, again)
	if err := s.note(p.after); err != nil {
		return err
	}
	if err := s.sweep(ctx); err != nil {
		return err
	}
	s.set = true
	return nil
}

// redistributes reports whether a `router ospf` has connected routes announced.
func redistributes(router vty.Block) bool {
	_, ok := router.Value("redistribute connected")
	return ok
}

func lines(all []string) (blocks []vty.Block) {
	for _, l := range all {
		blocks = append(blocks, vty.Block{Line: l})
	}
	return blocks
}

// tell logs what was done, and what was found once as long as it stays so.
func (s *speaker) tell(p preparation, again bool) {
	did := len(p.policy)+len(p.ospf) > 0
	back := slices.DeleteFunc(slices.Concat(p.policy, p.ospf), func(line string) bool { return strings.HasPrefix(line, "no ") })
	for _, line := range p.notes {
		if did || !slices.Contains(s.said, line) {
			s.log(machine.LevelInfo, line)
		}
	}
	if again && len(back) > 0 {
		s.log(machine.LevelWarning, "ospfd lacked lines that were set before, and services need them; they were put back: "+strings.Join(back, ", "))
	}
	s.said = p.notes
}

// sweep removes the lines of driver vty that nobody wants.
func (s *speaker) sweep(ctx context.Context) error {
	var failed error
	for _, v := range slices.Clone(s.noted.Addresses) {
		if !s.lines[v] && !s.kept[v.Address] {
			failed = errors.Join(failed, s.address(ctx, job{kind: jobAddress, addr: v.Address, device: v.Device}))
		}
	}
	return failed
}

// clean removes the lines of driver vty that nobody wants, and leaves the rest
// to the first Prepare, since ospfd may not be up yet.
func (s *speaker) clean(ctx context.Context, keep []netip.Addr) error {
	for _, addr := range keep {
		s.kept[addr] = true
	}
	return s.sweep(ctx)
}

func newSpeaker(cfg *Config) (*speaker, error) {
	noted, err := readResidue(cfg.StateFile)
	return &speaker{
		vty: cfg.VTY, file: cfg.StateFile, table: cfg.Table, services: cfg.Services, log: cfg.note, noted: noted,
		wished: map[netip.Addr]netip.Addr{}, lines: map[vtyAddress]bool{}, kept: map[netip.Addr]bool{},
		foreign: map[netip.Addr]bool{}, permits: map[netip.Addr]bool{}, announced: map[netip.Addr]bool{},
		withheld: map[netip.Addr]bool{}, ended: map[netip.Addr]int{},
	}, err
}
