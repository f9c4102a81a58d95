package ospfapi

// A coalescer takes out of the stream the deletes that are only half of an
// update. ospfd removes the old instance of an LSA from its database before it
// adds the new one and notifies both, always adjacent; taken by itself the
// delete looks like a loss. So a delete is held until what comes next: the
// update of the same LSA replaces it, any other message lets it go first.
//
// It is pure: whoever drives it calls expire when nothing came for a while.
type coalescer struct {
	held      LSADelete
	key       LSAKey
	holding   bool
	coalesced int // deletes replaced by their update
}

// push takes the next notification and emits what is now certain, in order.
func (c *coalescer) push(n Notification, emit func(Notification)) {
	switch n := n.(type) {
	case SyncStarted, SyncDone:
		// The client's marks may have been put between the halves: they pass
		// by. For a mirror this is as good as a delete that came a bit later.
		emit(n)
		return
	case Overflow:
		// The other half may be among what was dropped. The resync that must
		// follow sweeps the LSA if it is really gone.
		c.holding = false
		emit(n)
		return
	case LSAUpdate:
		if c.holding && c.key == n.Key() {
			c.holding = false
			c.coalesced++
		}
	}
	c.expire(emit)
	if d, ok := n.(LSADelete); ok {
		c.held, c.key, c.holding = d, d.Key(), true
		return
	}
	emit(n)
}

// expire emits the held delete: nothing followed, it is real.
func (c *coalescer) expire(emit func(Notification)) {
	if !c.holding {
		return
	}
	d := c.held
	c.held, c.holding = LSADelete{}, false
	emit(d)
}
