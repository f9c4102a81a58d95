package ospf

import (
	"bytes"
	"sync/atomic"
	"testing"

	"github.com/srrd/srrd/ospfapi"
	"github.com/srrd/srrd/ospfapi/ospfapitest"
	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

var (
	one = advert.Key{ID: 1, Secret: advert.Secret("one secret of a cluster, 32 bytes")}
	two = advert.Key{ID: 2, Secret: advert.Secret("two secret of a cluster, 32 bytes")}
)

func require(send advert.Key, more ...advert.Key) advert.Keyring {
	return advert.Keyring{Send: send, Accept: append([]advert.Key{send}, more...), Required: true}
}

// by signs a body as 222.G.1.0 of type 11 of r2.
func by(k advert.Key, g uint8, body []byte) []byte {
	return advert.Keyring{Send: k}.Sign(body, advert.Origin{Type: 11, ID: 222<<24 | uint32(g)<<16 | machine.DaemonID, Router: advert.RouterIDFrom(r2)})
}

func TestOnlyWhatIsSignedIsBelieved(t *testing.T) {
	b := newBench(t, true)
	b.ring = require(one, two)
	lsaOf := func(g uint8, body []byte) []byte { return daemonLSA(t, ospfapi.OpaqueAS, g, r2, firstSeq, body) }
	b.say(up(lsaOf(0, by(one, 0, nodeBody(t, "n2", 1)))))
	b.want("seen 10.0.0.2 222.0.1.0 (as) n2")
	b.say(up(lsaOf(1, by(two, 1, nodeBody(t, "n2", 2)))))
	b.want("seen 10.0.0.2 222.1.1.0 (as) n2")
	b.say(up(lsaOf(2, nodeBody(t, "n2", 3))))
	b.want("refused 10.0.0.2 222.2.1.0 (as) unsigned")
	b.say(up(lsaOf(3, by(one, 2, nodeBody(t, "n2", 3))))) // genuine, of another LSA
	b.want("refused 10.0.0.2 222.3.1.0 (as) wrong signature")
	b.say(up(lsaOf(4, by(advert.Key{ID: 9, Secret: one.Secret}, 4, nodeBody(t, "n2", 3)))))
	b.want("refused 10.0.0.2 222.4.1.0 (as) unknown key")
	b.say(up(daemonLSA(t, ospfapi.OpaqueAS, 0, r3, firstSeq, by(one, 0, nodeBody(t, "n2", 3))))) // of another router
	b.want("refused 10.0.0.3 222.0.1.0 (as) wrong signature")
	// Garbage is not even read.
	b.say(up(lsaOf(5, []byte("hello, world"))))
	b.want("refused 10.0.0.2 222.5.1.0 (as) unsigned")
	// A forgery in the place of a genuine one, and its end.
	b.say(up(daemonLSA(t, ospfapi.OpaqueAS, 1, r2, firstSeq+1, nodeBody(t, "forged", 9))))
	b.want("refused 10.0.0.2 222.1.1.0 (as) unsigned")
	b.say(down(daemonLSA(t, ospfapi.OpaqueAS, 1, r2, firstSeq+1, nodeBody(t, "forged", 9))))
	b.want("gone 10.0.0.2 222.1.1.0 (as)")
}

func TestAKeyIsChangedWithoutAnybodyMissing(t *testing.T) {
	b := newBench(t, true)
	old := daemonLSA(t, ospfapi.OpaqueAS, 0, r2, firstSeq, by(one, 0, nodeBody(t, "n2", 1)))
	b.ring = require(one)
	b.say(up(old), up(daemonLSA(t, ospfapi.OpaqueAS, 1, r2, firstSeq, by(two, 1, nodeBody(t, "n2", 2)))))
	b.want("seen 10.0.0.2 222.0.1.0 (as) n2", "refused 10.0.0.2 222.1.1.0 (as) unknown key")

	b.ring = require(one, two) // the new key is given out
	b.rekeyed()
	b.want("Rekeyed{}", "seen 10.0.0.2 222.1.1.0 (as) n2")

	b.ring = require(two, one) // and signed with; the other node has done so already
	b.say(up(daemonLSA(t, ospfapi.OpaqueAS, 0, r2, firstSeq+1, by(two, 0, nodeBody(t, "n2", 1)))))
	b.want("seen 10.0.0.2 222.0.1.0 (as) n2") // the same words: the machine finds nothing new
	b.rekeyed()
	b.want("Rekeyed{}")

	b.ring = require(two) // and the old one taken away
	b.rekeyed()
	b.want("Rekeyed{}")

	b.ring = require(one) // by mistake
	b.rekeyed()
	b.want("Rekeyed{}", "gone 10.0.0.2 222.0.1.0 (as)", "refused 10.0.0.2 222.0.1.0 (as) unknown key",
		"gone 10.0.0.2 222.1.1.0 (as)", "refused 10.0.0.2 222.1.1.0 (as) unknown key")
	b.ring = advert.Keyring{} // no keys at all: everything is read again
	b.rekeyed()
	b.want("Rekeyed{}", "seen 10.0.0.2 222.0.1.0 (as) n2", "seen 10.0.0.2 222.1.1.0 (as) n2")
}

func TestWhatIsOriginatedIsSignedAndItsEchoIsWhatWasGiven(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	var ring atomic.Pointer[advert.Keyring]
	set := func(k advert.Keyring) { ring.Store(&k) }
	set(require(one))
	h := run(t, srv, func(c *Config) { c.Keys = func() advert.Keyring { return *ring.Load() } })
	h.expect("Synced{}")
	ref := machine.LSARef{Scope: machine.ASScope, ID: machine.DaemonID}
	body := nodeBody(t, "n1", 1)
	h.Do(machine.Originate{Ref: ref, Body: body})
	h.expect("seen " + srv.RouterID().String() + " 222.0.1.0 (as) n1")
	echo := func() machine.LSASeen {
		h.mu.Lock()
		defer h.mu.Unlock()
		for i := len(h.got) - 1; i >= 0; i-- {
			if e, ok := h.got[i].(machine.LSASeen); ok {
				return e
			}
		}
		t.Fatal("no echo")
		return machine.LSASeen{}
	}
	if !bytes.Equal(echo().Raw, body) {
		t.Errorf("the echo is %x, given was %x", echo().Raw, body)
	}
	flooded := func() []byte {
		s, err := h.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for e := range s.All() {
			if e.Key.ID.As4()[0] == advert.OpaqueType {
				return e.Raw[20:]
			}
		}
		t.Fatal("nothing is flooded")
		return nil
	}
	who := origin(ref, advert.RouterIDFrom(srv.RouterID()))
	if _, why := require(one).Open(flooded(), who); why != advert.Taken {
		t.Errorf("what is flooded is %s to who has the key", why)
	}
	// The machine says the same again in place when the key has changed.
	set(require(two, one))
	h.Rekey()
	h.expect("Rekeyed{}")
	h.Do(machine.Originate{Ref: ref, Body: body})
	h.expect("seen " + srv.RouterID().String() + " 222.0.1.0 (as) n1")
	if id := advert.SignedUnder(flooded()); id != 2 || !bytes.Equal(echo().Raw, body) {
		t.Errorf("signed under key %d", id)
	}
}
