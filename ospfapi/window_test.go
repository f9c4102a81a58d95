package ospfapi

import "testing"

func TestRequestsUnderWayNeverExceedTheWindow(t *testing.T) {
	c := newClient(Config{QueueLimit: 1 << 20, MaxPending: 1 << 16, Warn: func(error) {}}, nil, nil)
	for range 5000 {
		c.startLocked(SyncISM{}) // 12 octets each
	}
	written := uint32(0)
	for answered := uint32(0); answered < 5000; answered++ {
		for call, b := c.nextUnsent(); call != nil; call, b = c.nextUnsent() {
			written++
			if call.Seq != written || len(b) != 12 {
				t.Fatalf("write %d is of request %d, %d octets", written, call.Seq, len(b))
			}
		}
		if c.inFlight > window || int(written-answered)*12 != c.inFlight {
			t.Fatalf("%d octets under way after %d writes and %d replies", c.inFlight, written, answered)
		}
		c.onReply(Reply{Seq: answered + 1})
	}
	if written != 5000 || c.inFlight != 0 || len(c.pending) != 0 {
		t.Errorf("%d written, %d octets under way, %d pending", written, c.inFlight, len(c.pending))
	}
}

func TestReplyToARequestNotYetSentIsStray(t *testing.T) {
	c := newClient(Config{QueueLimit: 1 << 20, MaxPending: 16, Warn: func(error) {}}, nil, nil)
	call := c.startLocked(SyncISM{})
	c.onReply(Reply{Seq: call.Seq})
	if call.ended() || c.stray.Load() != 1 {
		t.Errorf("ended %v, %d stray", call.ended(), c.stray.Load())
	}
}

// It finds no call any more: closing has ended it.
func TestAReplyThatComesWithTheEndOfTheConnectionIsNoStray(t *testing.T) {
	var warned error
	c := newClient(Config{QueueLimit: 1 << 20, MaxPending: 16, Warn: func(err error) { warned = err }}, nil, nil)
	c.onReply(Reply{Seq: 64})
	if warned == nil || c.stray.Load() != 1 {
		t.Errorf("an open connection takes a reply to nothing: %v, %d stray", warned, c.stray.Load())
	}
	warned, c.err = nil, ErrClosed
	c.onReply(Reply{Seq: 65})
	if warned != nil || c.stray.Load() != 1 {
		t.Errorf("after the end a reply is a stray: %v, %d stray", warned, c.stray.Load())
	}
}
