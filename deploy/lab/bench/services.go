package bench

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// serviceSet are the services a row wants on every node.
type serviceSet struct {
	names     []string         // of all; sorted
	addresses []netip.AddrPort // that the client asks
	// routed are the addresses that routers are watched for; nil: those that the
	// client asks.
	routed []netip.AddrPort
	// spread services are taken over by several nodes; before and after they are
	// all on the first one.
	spread bool
	// tells: its primitives say when they begin and end, see works.
	tells bool
	// forHost adds to the text of a service what is a node's own; nil: nothing.
	forHost func(host, name string) string
	// files of services.d without .yaml, and others relative to the host's
	// directory. {{library}}, {{dir}} and {{run}} are the service library and the
	// host's directories.
	services map[string]string
	files    map[string]string
}

// answerPort is where the answerers of the topology listen.
const answerPort = 7777

// address gives an address of the services' range, with the answerers' port.
func address(third, fourth byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 250, third, fourth}), answerPort)
}

// one is a service with instant primitives.
func one(name, more string) serviceSet {
	return serviceSet{
		names: []string{name}, addresses: []netip.AddrPort{address(0, 1)},
		services: map[string]string{name: "addresses: 10.250.0.1\ndir: {{library}}/address-only\ncheck:\n  interval: 0s\n" + more},
	}
}

// overlapping can run twice for a moment, single cannot.
func overlapping() serviceSet { return one("plain", "handover: overlap\n") }
func single() serviceSet      { return one("single", "") }

// watched follows the answerer of the node by its pid file.
func watched() serviceSet {
	return one("watched", "handover: overlap\nwatch:\n  pidfile: {{run}}/answer.pid\n")
}

// checkInterval is how often the checked service is looked at.
const checkInterval = time.Second

// checked looks after the answerer of the node once a second.
func checked() serviceSet {
	return serviceSet{
		names: []string{"checked"}, addresses: []netip.AddrPort{address(0, 1)},
		services: map[string]string{"checked": fmt.Sprintf("addresses: 10.250.0.1\ndir: {{dir}}/checked\nhandover: overlap\ncheck:\n  interval: %s\n  fall: 1\n", checkInterval)},
		files: map[string]string{"checked/Makefile": "include {{library}}/default.mk\n\nstart stop:\n\t@:\nstatus check:\n" +
			"\t@read pid < {{run}}/answer.pid && kill -0 $$pid\n"},
	}
}

// many are services with an address each; of one group, if that has a name.
func many(count int, group string) serviceSet {
	s := serviceSet{services: map[string]string{}}
	more := ""
	if group != "" {
		more = "group: " + group + "\n"
	}
	for i := range count {
		name, at := fmt.Sprintf("s%03d", i+1), address(1, byte(i+1))
		s.names = append(s.names, name)
		s.addresses = append(s.addresses, at)
		s.services[name] = fmt.Sprintf("addresses: %s\ndir: {{library}}/address-only\nhandover: overlap\ncheck:\n  interval: 0s\n%s", at.Addr(), more)
	}
	return s
}

// watched are the addresses that routers are watched for.
func (s serviceSet) watched() []netip.AddrPort {
	if s.routed != nil {
		return s.routed
	}
	return s.addresses
}

// spread are services with an address each, which all run on the first of three
// nodes while that can, and half on each of the two others when it cannot. The
// client asks a hundred of them, the first and the last among them: a datagram
// to each of a thousand would cost the machine more than the cluster does.
func spread(count int) serviceSet {
	const asked = 100
	s := serviceSet{services: map[string]string{}, spread: true}
	for i := range count {
		name, at := fmt.Sprintf("s%04d", i+1), address(byte(2+i/250), byte(1+i%250))
		s.names = append(s.names, name)
		s.routed = append(s.routed, at)
		if i*(asked-1)%(count-1) < asked-1 || i == count-1 {
			s.addresses = append(s.addresses, at)
		}
		s.services[name] = fmt.Sprintf("addresses: %s\ndir: {{library}}/address-only\nhandover: overlap\ncheck:\n  interval: 0s\n", at.Addr())
	}
	s.forHost = func(host, name string) string {
		odd := name[len(name)-1]%2 == 1
		switch {
		case host == "n1":
			return "preference: 200\n"
		case odd == (host == "n2"):
			return "preference: 150\n"
		}
		return "preference: 100\n"
	}
	return s
}

// store is a group of a resource and a service that stands on it.
func store() serviceSet {
	const common = "dir: {{library}}/address-only\ngroup: STORE\ncritical: yes\ncheck:\n  interval: 0s\n"
	return serviceSet{
		names: []string{"disk", "store"}, addresses: []netip.AddrPort{address(0, 1)},
		services: map[string]string{"disk": common, "store": common + "addresses: 10.250.0.1\ndependencies: disk\n"},
	}
}

// working is such a group whose primitives take their time and tell of it.
func working() serviceSet {
	const common = "dir: {{dir}}/working\ngroup: WORK\ncritical: yes\ncheck:\n  interval: 0s\n"
	return serviceSet{
		names: []string{"array", "files"}, addresses: []netip.AddrPort{address(0, 1)}, tells: true,
		services: map[string]string{"array": common, "files": common + "addresses: 10.250.0.1\ndependencies: array\n"},
		files:    map[string]string{"working/Makefile": workMakefile},
	}
}

// fill puts a host's directories into a text.
func fill(text, library, dir, run string) string {
	return strings.NewReplacer("{{library}}", library, "{{dir}}", dir, "{{run}}", run).Replace(text)
}
