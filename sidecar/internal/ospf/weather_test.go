package ospf

import (
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/srrd/srrd/ospfapi"
	"github.com/srrd/srrd/ospfapi/ospfapitest"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

func TestAnOspfdThatAcceptsAndNeverAnswersIsGivenUpAndTriedAgain(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan struct{}, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			accepted <- struct{}{}
			go func() { _, _ = io.Copy(io.Discard, c) }() // it reads, so that nobody thinks it dead
		}
	}()
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	h := run(t, srv, func(c *Config) { c.Server = ln.Addr().(*net.TCPAddr).AddrPort() })
	h.expect("down: ospfd's OSPF-API at " + ln.Addr().String() + ": ospfd did not connect back within 2s: context deadline exceeded")
	<-accepted
	<-accepted // tried again, and the same words are not said again
	for _, w := range h.words() {
		if strings.HasPrefix(w, "OSPFUp") {
			t.Errorf("it is taken for an ospfd: %s", w)
		}
	}
	// What is asked of it meanwhile is dropped, not kept.
	for i := range uint32(10_000) {
		h.Do(machine.Originate{Ref: machine.LSARef{Scope: machine.ASScope, ID: i}, Body: nodeBody(t, "n1", i)})
	}
	if n := len(h.calls.take()); n > 0 {
		t.Errorf("%d requests wait for it", n)
	}
	_ = ln.Close()
	<-done
}

func TestAnOspfdThatFallsSilentHoldsUpNobodyAndGoesOnLater(t *testing.T) {
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	h := run(t, srv, nil)
	h.expect("Synced{}")
	resume := srv.Stall()
	ref := machine.LSARef{Scope: machine.ASScope, ID: machine.DaemonID}
	for g := range uint32(200) { // Do never waits, or this does not end
		h.Do(machine.Originate{Ref: machine.LSARef{Scope: machine.ASScope, ID: g<<16 | 1}, Body: nodeBody(t, "n1", g)})
	}
	if s, err := h.Snapshot(t.Context()); err != nil || s == nil {
		t.Errorf("the mirror cannot be read meanwhile: %v", err)
	}
	resume()
	h.Do(machine.Originate{Ref: ref, Body: nodeBody(t, "n1", 201)})
	h.expect("seen 10.0.0.1 222.0.1.0 (as) n1")
}

func TestTwentyThousandLSAsAreMirroredInBoundedMemory(t *testing.T) {
	const foreign = 20_000
	srv := ospfapitest.NewServer(t, ospfapitest.Config{})
	for i := range foreign {
		a := netip.AddrFrom4([4]byte{100, byte(64 + i>>16), byte(i >> 8), byte(i)})
		srv.Inject(area0, external(t, r2, a, firstSeq))
	}
	srv.Inject(area0, daemonLSA(t, ospfapi.OpaqueAS, 0, r2, firstSeq, nodeBody(t, "n2", 1)))
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	h := run(t, srv, nil)
	h.expect("seen 10.0.0.2 222.0.1.0 (as) n2")
	h.expect("Synced{}")
	s, err := h.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range s.All() {
		n++
	}
	if n < foreign {
		t.Errorf("%d LSAs are mirrored", n)
	}
	// A type 5 is 36 bytes on the wire; with its decoded form, its indexes and
	// the events of the test each may take a kilobyte and a half.
	if grown := int64(heap()) - int64(before); grown > foreign*1536 {
		t.Errorf("they take %d bytes, %d each", grown, grown/foreign)
	} else {
		t.Logf("they take %d bytes, %d each", grown, grown/foreign)
	}
	runtime.KeepAlive(s)
}
