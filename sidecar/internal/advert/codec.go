package advert

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	version     = 1
	kindNothing = 0
	kindDaemon  = 1
	kindService = 2
)

// tlv numbers (DESIGN section 4). A number is never given a second meaning.
type tlv uint16

const (
	tlvIncarnation   tlv = 1
	tlvGeneration    tlv = 2
	tlvName          tlv = 3
	tlvGroup         tlv = 4
	tlvDependency    tlv = 5
	tlvPreference    tlv = 6
	tlvState         tlv = 7
	tlvFailure       tlv = 8
	tlvCheck         tlv = 9
	tlvAddress       tlv = 10
	tlvClaim         tlv = 11
	tlvSeen          tlv = 12
	tlvPin           tlv = 13
	tlvDigest        tlv = 14
	tlvHold          tlv = 15
	tlvFreeze        tlv = 16
	tlvFloor         tlv = 17
	tlvHost          tlv = 20
	tlvVersion       tlv = 21
	tlvWeb           tlv = 22
	tlvNodeState     tlv = 23
	tlvCapabilities  tlv = 24
	tlvClusterFrozen tlv = 25
	// tlvAuthentication is always the last one; see Keyring.
	tlvAuthentication tlv = 255
)

// ErrTooLarge is returned for a value that would not fit MaxContent.
var ErrTooLarge = errors.New("advertisement larger than an LSA may be")

// Body is what Decode returns: exactly one of the two is set.
type Body struct {
	Node    *Node
	Service *Service
}

// Stamp is the stamp of whichever is set.
func (b Body) Stamp() Stamp {
	switch {
	case b.Node != nil:
		return b.Node.Stamp
	case b.Service != nil:
		return b.Service.Stamp
	}
	return Stamp{}
}

type writer struct{ b []byte }

func (w *writer) put(t tlv, v []byte) {
	w.b = binary.BigEndian.AppendUint16(w.b, uint16(t))
	w.b = binary.BigEndian.AppendUint16(w.b, uint16(len(v)))
	w.b = append(w.b, v...)
	for len(w.b)%4 != 0 {
		w.b = append(w.b, 0)
	}
}

func (w *writer) text(t tlv, s string) {
	if s != "" {
		w.put(t, []byte(s))
	}
}

func u32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
func u64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

func (w *writer) hold(t tlv, h Hold) {
	if h.Number != 0 {
		w.put(t, append(u64(h.Number), bit(h.On), 0, 0, 0))
	}
}

func (w *writer) stamp(s Stamp) {
	w.put(tlvIncarnation, u64(s.Incarnation))
	w.put(tlvGeneration, u32(s.Generation))
}

func (w *writer) done(dst []byte) ([]byte, error) {
	if len(w.b) > MaxContent {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(w.b), MaxContent)
	}
	return append(dst, w.b...), nil
}

// Append appends the node's body to dst.
func (n *Node) Append(dst []byte) ([]byte, error) {
	w := writer{b: []byte{version, kindDaemon, 0, 0}}
	w.stamp(n.Stamp)
	w.text(tlvHost, n.Host)
	w.text(tlvVersion, n.Version)
	if n.Web.IsValid() {
		v := n.Web.Addr().AsSlice()
		w.put(tlvWeb, binary.BigEndian.AppendUint16(v, n.Web.Port()))
	}
	grace := uint16(min(n.Grace/time.Second, 0xffff))
	w.put(tlvNodeState, binary.BigEndian.AppendUint16([]byte{byte(n.State), 0}, grace))
	w.put(tlvCapabilities, u32(n.Capabilities))
	w.hold(tlvClusterFrozen, n.Freeze)
	return w.done(dst)
}

// Append appends the service's body to dst. An error means that the value
// does not fit (ErrTooLarge); the configuration is checked for that before.
func (s *Service) Append(dst []byte) ([]byte, error) {
	w := writer{b: []byte{version, kindService, byte(s.Flags >> 8), byte(s.Flags)}}
	w.stamp(s.Stamp)
	w.text(tlvName, s.Name)
	w.text(tlvGroup, s.Group)
	for _, d := range s.Dependencies {
		w.text(tlvDependency, d)
	}
	w.put(tlvPreference, []byte{s.Preference})
	w.put(tlvState, []byte{byte(s.State), byte(s.Step)})
	if s.Failure.Code != FailNone {
		w.put(tlvFailure, append([]byte{byte(s.Failure.Code)}, clip(s.Failure.Text, MaxText)...))
	}
	if s.Interval > 0 || !s.LastCheck.IsZero() {
		var at uint64
		if !s.LastCheck.IsZero() {
			at = uint64(s.LastCheck.UnixMilli())
		}
		w.put(tlvCheck, binary.BigEndian.AppendUint64(u32(uint32(s.Interval/time.Millisecond)), at))
	}
	for _, a := range s.Addresses {
		w.put(tlvAddress, a.AsSlice())
	}
	if s.Claim != 0 {
		w.put(tlvClaim, u64(uint64(s.Claim)))
	}
	if s.Seen != 0 {
		w.put(tlvSeen, u64(uint64(s.Seen)))
	}
	if s.Floor != 0 {
		w.put(tlvFloor, u64(uint64(s.Floor)))
	}
	if s.Pin.Number != 0 {
		v := append(u64(s.Pin.Number), u32(uint32(s.Pin.Target))...)
		v = append(v, u32(s.Pin.Left)...)
		w.put(tlvPin, append(v, bit(s.Pin.Void), 0, 0, 0))
	}
	w.put(tlvDigest, s.Digest[:])
	w.hold(tlvHold, s.Hold)
	w.hold(tlvFreeze, s.Freeze)
	return w.done(dst)
}

// LargestSize is the size in bytes of s with everything that grows while it
// runs at its longest: failure text, check stamp, claims, pin, hold and freeze.
func (s Service) LargestSize() int {
	s.Failure = Failure{Code: FailOther, Text: strings.Repeat("x", MaxText)}
	s.LastCheck = time.UnixMilli(1)
	s.Claim, s.Seen, s.Floor = 1, 1, 1
	s.Pin, s.Hold, s.Freeze = Pin{Number: 1}, Hold{Number: 1}, Hold{Number: 1}
	w, err := s.Append(nil)
	if err != nil {
		return MaxContent + 1
	}
	return len(w)
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// clip cuts s to at most n bytes without cutting a rune.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Clip makes s fit to be a failure text.
func Clip(s string) string { return clip(Printable(s), MaxText) }

// Nothing is a body that says nothing: an LSA that cannot be deleted is overwritten
// with it. Releases that do not know it take such an LSA for a malformed one.
func Nothing() []byte { return []byte{version, kindNothing, 0, 0} }

// IsNothing tells a body that says nothing.
func IsNothing(b []byte) bool { return bytes.Equal(b, Nothing()) }

// Decode reads one body.
func Decode(b []byte) (Body, error) {
	if len(b) < 4 {
		return Body{}, fmt.Errorf("advertisement of %d bytes: shorter than its header", len(b))
	}
	if len(b) > MaxBody {
		return Body{}, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(b), MaxBody)
	}
	if b[0] != version {
		return Body{}, fmt.Errorf("advertisement version %d: only %d is known", b[0], version)
	}
	flags := Flags(binary.BigEndian.Uint16(b[2:]))
	switch b[1] {
	case kindDaemon:
		n := &Node{State: Online}
		if err := walk(b[4:], n.set, tlvDependency, tlvAddress); err != nil {
			return Body{}, err
		}
		if err := n.Stamp.valid(); err != nil {
			return Body{}, err
		}
		return Body{Node: n}, nil
	case kindService:
		s := &Service{Flags: flags & (1<<len(flagWords) - 1)}
		if err := walk(b[4:], s.set, tlvDependency, tlvAddress); err != nil {
			return Body{}, err
		}
		if err := s.valid(); err != nil {
			return Body{}, err
		}
		return Body{Service: s}, nil
	}
	return Body{}, fmt.Errorf("advertisement kind %d: neither daemon (1) nor service (2)", b[1])
}

func (s Stamp) valid() error {
	if s.Incarnation == 0 {
		return fmt.Errorf("TLV %d (incarnation) missing or zero", tlvIncarnation)
	}
	return nil
}

func (s *Service) valid() error {
	if err := s.Stamp.valid(); err != nil {
		return err
	}
	if s.Name == "" {
		return fmt.Errorf("TLV %d (name) missing", tlvName)
	}
	if s.State < Stopped || s.State > Failed {
		return fmt.Errorf("TLV %d (service state): %d is no state", tlvState, s.State)
	}
	return nil
}

// walk calls set for each TLV. A number may stand once, the repeated ones as
// often as their setter allows.
func walk(b []byte, set func(t tlv, v []byte) error, repeated ...tlv) error {
	var seen [256]bool
	for len(b) > 0 {
		if len(b) < 4 {
			return fmt.Errorf("%d bytes after the last TLV", len(b))
		}
		t, n := tlv(binary.BigEndian.Uint16(b)), int(binary.BigEndian.Uint16(b[2:]))
		padded := (n + 3) &^ 3
		if padded > len(b)-4 {
			return fmt.Errorf("TLV %d of %d bytes: only %d are left", t, n, len(b)-4)
		}
		if int(t) < len(seen) {
			if seen[t] && !isOneOf(t, repeated) {
				return fmt.Errorf("TLV %d stands twice", t)
			}
			seen[t] = true
		}
		if err := set(t, b[4:4+n]); err != nil {
			return fmt.Errorf("TLV %d: %w", t, err)
		}
		if b = b[4+padded:]; t == tlvAuthentication && len(b) > 0 {
			return fmt.Errorf("TLV %d is not the last one", t)
		}
	}
	return nil
}

func isOneOf(t tlv, of []tlv) bool {
	for _, o := range of {
		if t == o {
			return true
		}
	}
	return false
}

func want(v []byte, n int) error {
	if len(v) != n {
		return fmt.Errorf("%d bytes, want %d", len(v), n)
	}
	return nil
}

func (s *Stamp) set(t tlv, v []byte) (bool, error) {
	switch t {
	case tlvIncarnation:
		if err := want(v, 8); err != nil {
			return true, err
		}
		s.Incarnation = binary.BigEndian.Uint64(v)
		return true, nil
	case tlvGeneration:
		if err := want(v, 4); err != nil {
			return true, err
		}
		s.Generation = binary.BigEndian.Uint32(v)
		return true, nil
	}
	return false, nil
}

func (n *Node) set(t tlv, v []byte) (err error) {
	if ok, err := n.Stamp.set(t, v); ok {
		return err
	}
	switch t {
	case tlvHost:
		n.Host, err = name(v)
	case tlvVersion:
		if len(v) > MaxName {
			return fmt.Errorf("version of %d bytes, at most %d", len(v), MaxName)
		}
		n.Version = Printable(string(v))
	case tlvWeb:
		a, ok := netip.AddrFromSlice(v[:max(0, len(v)-2)])
		if !ok {
			return fmt.Errorf("%d bytes are neither an IPv4 nor an IPv6 address and a port", len(v))
		}
		n.Web = netip.AddrPortFrom(a, binary.BigEndian.Uint16(v[len(v)-2:]))
	case tlvNodeState:
		if err := want(v, 4); err != nil {
			return err
		}
		n.State = NodeState(v[0])
		if n.State < Online || n.State > Leaving {
			return fmt.Errorf("%d is no node state", v[0])
		}
		n.Grace = time.Duration(binary.BigEndian.Uint16(v[2:])) * time.Second
	case tlvCapabilities:
		if err := want(v, 4); err != nil {
			return err
		}
		n.Capabilities = binary.BigEndian.Uint32(v)
	case tlvClusterFrozen:
		n.Freeze, err = hold(v)
	}
	return err
}

func (s *Service) set(t tlv, v []byte) (err error) {
	if ok, err := s.Stamp.set(t, v); ok {
		return err
	}
	switch t {
	case tlvName:
		s.Name, err = name(v)
	case tlvGroup:
		s.Group, err = name(v)
	case tlvDependency:
		if len(s.Dependencies) == MaxDependencies {
			return fmt.Errorf("more than %d dependencies", MaxDependencies)
		}
		d, err := name(v)
		if err != nil {
			return err
		}
		s.Dependencies = append(s.Dependencies, d)
	case tlvPreference:
		if err = want(v, 1); err == nil {
			s.Preference = v[0]
		}
	case tlvState:
		if err = want(v, 2); err == nil {
			s.State, s.Step = State(v[0]), Step(v[1])
		}
	case tlvFailure:
		if len(v) < 1 || len(v) > 1+MaxText {
			return fmt.Errorf("%d bytes, want 1 to %d", len(v), 1+MaxText)
		}
		if FailureCode(v[0]) != FailNone {
			s.Failure = Failure{Code: FailureCode(v[0]), Text: clip(Printable(string(v[1:])), MaxText)}
		}
	case tlvCheck:
		if err = want(v, 12); err == nil {
			s.Interval = time.Duration(binary.BigEndian.Uint32(v)) * time.Millisecond
			if at := binary.BigEndian.Uint64(v[4:]); at != 0 {
				if at > 1<<50 {
					return fmt.Errorf("check stamp %d is no time", at)
				}
				s.LastCheck = time.UnixMilli(int64(at))
			}
		}
	case tlvAddress:
		if len(s.Addresses) == MaxAddresses {
			return fmt.Errorf("more than %d addresses", MaxAddresses)
		}
		a, ok := netip.AddrFromSlice(v)
		if !ok {
			return fmt.Errorf("%d bytes are no address", len(v))
		}
		s.Addresses = append(s.Addresses, a)
	case tlvClaim:
		if err = want(v, 8); err == nil {
			s.Claim = Claim(binary.BigEndian.Uint64(v))
		}
	case tlvSeen:
		if err = want(v, 8); err == nil {
			s.Seen = Claim(binary.BigEndian.Uint64(v))
		}
	case tlvFloor:
		if err = want(v, 8); err == nil {
			s.Floor = Claim(binary.BigEndian.Uint64(v))
		}
	case tlvPin:
		if err = want(v, 20); err == nil {
			s.Pin = Pin{Number: binary.BigEndian.Uint64(v), Target: RouterID(binary.BigEndian.Uint32(v[8:])),
				Left: binary.BigEndian.Uint32(v[12:]), Void: v[16]&1 != 0}
			if s.Pin.Number == 0 { // no pin, whatever else it says
				s.Pin = Pin{}
			}
		}
	case tlvDigest:
		if err = want(v, len(s.Digest)); err == nil {
			s.Digest = Digest(v)
		}
	case tlvHold:
		s.Hold, err = hold(v)
	case tlvFreeze:
		s.Freeze, err = hold(v)
	}
	return err
}

func hold(v []byte) (Hold, error) {
	if err := want(v, 12); err != nil {
		return Hold{}, err
	}
	h := Hold{Number: binary.BigEndian.Uint64(v), On: v[8]&1 != 0}
	if h.Number == 0 { // none, whatever else it says
		return Hold{}, nil
	}
	return h, nil
}

func name(v []byte) (string, error) {
	if err := ValidName(string(v)); err != nil {
		return "", err
	}
	return string(v), nil
}

// ValidName tells what is wrong with a name of a service, group or host:
// 1 to MaxName letters, digits, dots, dashes and underscores, not beginning
// with a dot or dash. It becomes part of file names, commands and pages.
func ValidName(s string) error {
	if s == "" {
		return errors.New("empty name")
	}
	if len(s) > MaxName {
		return fmt.Errorf("name of %d bytes, at most %d", len(s), MaxName)
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_':
		case (c == '.' || c == '-') && i > 0:
		default:
			return fmt.Errorf("name %q: only letters, digits, '_', and after the first '.' and '-'", s)
		}
	}
	return nil
}

// Printable replaces what could disturb a terminal or a log line: control and
// invalid characters become '?', line ends and tabs a space.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
}
