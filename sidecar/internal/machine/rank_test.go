package machine

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// The twins: every question of placement answered by a look at every rival.

func slowBetterClaimant(u unit, self candidate) (RouterID, bool) {
	best, ok := self, false
	for r := range u.rivals {
		if c := u.candidate(r); r.claims() && c.better(best) && u.disqualified(r).Code == BecauseNone {
			best, ok = c, true
		}
	}
	return best.router, ok
}

func (n *Node) slowDecideFree(s *service, u unit, self candidate) Verdict {
	best, stamp, found := self, stampOf{}, false
	skipped := RouterID(0)
	for r := range u.rivals {
		if u.disqualified(r).Code != BecauseNone {
			continue
		}
		c := u.candidate(r)
		if c.claims() && r.peer.node.State == advert.Maintenance {
			return Verdict{Want: WantStand, Why: Reason{BecauseFrozenThere, n.hostOf(c.router)}}
		}
		var spoke stampOf
		for _, o := range r.offers {
			if o.said.Stamp.Newer(spoke) {
				spoke = o.said.Stamp
			}
		}
		if !c.claims() {
			if st, ok := s.passed[c.router]; ok && st == spoke {
				if c.better(self) {
					skipped = c.router
				}
				continue
			}
		}
		if c.better(best) {
			best, stamp, found = c, spoke, true
		}
	}
	switch {
	case !found && skipped != 0:
		return Verdict{Want: WantRun, Why: Reason{BecauseOthersPassed, n.hostOf(skipped)}}
	case !found:
		return Verdict{Want: WantRun, Why: Reason{Code: BecauseBest}}
	case best.claims():
		return Verdict{Want: WantStand, Why: Reason{BecauseHeldBy, n.hostOf(best.router)}}
	}
	return Verdict{Want: WantStand, Why: Reason{BecauseBetterCandidate, n.hostOf(best.router)}, Awaited: best.router, AwaitedStamp: stamp}
}

func (n *Node) slowBestClaim(u unit) advert.Claim {
	var best candidate
	found := false
	if c := n.self(u); c.claims() {
		best, found = c, true
	}
	for r := range u.rivals {
		if c := u.candidate(r); r.claims() && u.disqualified(r).Code == BecauseNone && (!found || c.better(best)) {
			best, found = c, true
		}
	}
	if !found {
		return 0
	}
	return best.claim
}

func slowCounting(u unit) (have int) {
	for r := range u.rivals {
		if slices.ContainsFunc(r.offers, func(o *offer) bool { return o.counts }) {
			have++
		}
	}
	return have
}

func slowClaims(u unit) bool {
	for r := range u.rivals {
		if r.claims() {
			return true
		}
	}
	return false
}

func (n *Node) slowObstacles(s *service) (clear, forAWhile bool) {
	u := n.unit(s)
	clear = true
	for r := range u.rivals {
		if !u.strict() && r.runs() && !s.cfg.Overlap && !s.waited {
			clear, forAWhile = false, true
		}
		for _, o := range r.offers {
			if u.strict() && n.strictObstacle(o, s.claim) != "" {
				clear = false
			}
		}
	}
	for _, m := range u.members {
		if len(m.lost) > 0 && (u.strict() || s.cfg.Way == WayAlias && !s.cfg.Overlap) {
			clear = false
		}
	}
	return clear, forAWhile
}

// differs says where the kept order and the sums answer otherwise than the
// twins, "" if nowhere.
func (n *Node) differs(s *service, decided map[ReasonCode]int) string {
	u := n.unit(s)
	var want []candidate
	for r := range u.rivals {
		if u.disqualified(r).Code == BecauseNone {
			want = append(want, u.candidate(r))
		}
	}
	slices.SortFunc(want, func(a, b candidate) int { return compareStandings(&standing{c: a}, &standing{c: b}) })
	var got []candidate
	for _, st := range u.ranked().order {
		got = append(got, st.c)
	}
	if !slices.Equal(got, want) {
		return fmt.Sprintf("order %+v, want %+v", got, want)
	}
	if have := u.ranked().counting; have != slowCounting(u) {
		return fmt.Sprintf("%d count, want %d", have, slowCounting(u))
	}
	// As this node would see it with and without it, under any claim it may have.
	self := n.self(u)
	for has := range 3 {
		self.has = has
		by, ok := n.betterClaimant(u, self)
		router := self.router
		if ok {
			router = by.peer.id
		}
		if r, o := slowBetterClaimant(u, self); r != router || o != ok {
			return fmt.Sprintf("having %d, the better claimant is %s %v, want %s %v", has, router, ok, r, o)
		}
		// As it is, and with one after the other of the best passed over.
		was := s.passed
		for k := 0; k <= min(3, len(want)); k++ {
			if k > 0 {
				s.passed = maps.Clone(s.passed)
				if s.passed == nil {
					s.passed = map[RouterID]advert.Stamp{}
				}
				s.passed[want[k-1].router] = u.stamp(n.byRouter[want[k-1].router])
			}
			a, b := n.decideFree(s, u, self), n.slowDecideFree(s, u, self)
			decided[a.Why.Code]++
			if a != b {
				return fmt.Sprintf("having %d, %d passed over, decided %+v, want %+v", has, k, a, b)
			}
		}
		s.passed = was
	}
	if a, b := n.bestClaim(u), n.slowBestClaim(u); a != b {
		return fmt.Sprintf("acknowledges %s, want %s", a, b)
	}
	any := false
	for r := range u.busy {
		any = any || r.claims()
	}
	if any != slowClaims(u) {
		return fmt.Sprintf("somebody claims: %v", any)
	}
	if s.cfg != nil {
		was := s.claim
		defer func() { s.claim = was }()
		for _, c := range []advert.Claim{was, 0, advert.NewClaim(1, r1), advert.NewClaim(1, r2)} {
			s.claim = c
			clear, a := n.mayBegin(s)
			if wantClear, b := n.slowObstacles(s); clear != wantClear || a != b {
				return fmt.Sprintf("may begin under %s: %v %v, want %v %v", c, clear, a, wantClear, b)
			}
			if in := n.obstacles(s); (len(in) == 0) != clear {
				return fmt.Sprintf("may begin under %s: %v, and in the way are %+v", c, clear, in)
			}
		}
	}
	var peers []string
	for _, o := range s.offers {
		if o.counts {
			peers = append(peers, n.hostOf(o.peer.id))
		}
	}
	if got := n.peersOf(s); !slices.Equal(got, peers) {
		return fmt.Sprintf("peers %q, want %q", got, peers)
	}
	uses := s.allAddresses()
	for a := range n.users {
		if slices.Contains(n.users[a], s) != slices.Contains(uses, a) {
			return fmt.Sprintf("uses %s: %v", a, !slices.Contains(uses, a))
		}
	}
	return ""
}

// ranked worlds: a node with five services of all kinds, and peers that say,
// unsay, come and go as chance wants.
func worldConfig(t *rapid.T) Config {
	cfg := Config{Host: "n1", Scope: ASScope, ClaimTimeout: time.Second, RejoinHold: time.Second, AnnounceTimeout: time.Second}
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		if !rapid.Bool().Draw(t, name+" is configured") {
			continue
		}
		s := Service{Name: name, Scope: ASScope, Enabled: true, Preference: uint8(rapid.IntRange(1, 2).Draw(t, "preference")), RetryAfter: time.Minute}
		if i != 2 {
			s.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, 9, 0, byte(rapid.IntRange(i, i+1).Draw(t, "address"))})}
		}
		if i > 2 || rapid.Bool().Draw(t, "group") {
			s.Group = "G"
			s.Critical = rapid.Bool().Draw(t, "critical")
		}
		if i == 4 && rapid.Bool().Draw(t, "depends") {
			s.Dependencies = []string{"d"}
		}
		s.Overlap = i == 1
		s.Way = AddressWay(rapid.IntRange(int(WayLocal), int(WayAlias)).Draw(t, "way"))
		s.Members = 3 * rapid.IntRange(0, 1).Draw(t, "members")
		cfg.Services = append(cfg.Services, s)
	}
	return cfg
}

func TestTheKeptOrderAnswersLikeALookAtEveryRival(t *testing.T) {
	decided := map[ReasonCode]int{}
	rapid.Check(t, func(t *rapid.T) {
		n := New(Memory{}, nil)
		now := t0
		timers := map[TimerKey]SetTimer{}
		runs := map[string]RunPrimitive{}
		step := func(ev Event) {
			for _, a := range n.Step(now, ev) {
				switch a := a.(type) {
				case SetTimer:
					timers[a.Key] = a
				case RunPrimitive:
					runs[a.Service] = a
				case Originate: // every echo comes at once, later
				}
			}
			for _, s := range n.services {
				if d := n.differs(s, decided); d != "" {
					t.Fatalf("after %T%+v, %s: %s", ev, ev, s.name, d)
				}
			}
		}
		step(Configured{Config: worldConfig(t)})
		step(OSPFUp{Router: r1 + 1}) // among the peers
		step(Adjacency{Full: 1})
		step(Synced{})
		routers := []RouterID{r1, r2 + 1, r3 + 2, r3 + 3}
		gen := map[RouterID]uint32{}
		inc := map[RouterID]uint64{}
		refs := map[RouterID][]LSARef{}
		say := func(r RouterID, id uint16, b func(advert.Stamp) advert.Body) {
			if gen[r] == 0 || rapid.IntRange(0, 20).Draw(t, "new life") == 0 {
				inc[r]++
			}
			gen[r]++
			ref := LSARef{Scope: ASScope, ID: gen[r]%3<<16 | uint32(id)}
			refs[r] = append(refs[r], ref)
			step(LSASeen{Router: r, Ref: ref, Body: b(advert.Stamp{Incarnation: inc[r], Generation: gen[r] - uint32(rapid.IntRange(0, 1).Draw(t, "late"))})})
		}
		for _, r := range routers {
			step(Reach{Router: r, Area: true, AS: true})
			say(r, DaemonID, func(st advert.Stamp) advert.Body {
				return advert.Body{Node: &advert.Node{Stamp: st, Host: "h" + r.String(), State: advert.Online}}
			})
		}
		t.Repeat(map[string]func(*rapid.T){
			"a peer speaks of a service": func(t *rapid.T) {
				r := rapid.SampledFrom(routers).Draw(t, "router")
				i := rapid.IntRange(0, 4).Draw(t, "service")
				s := advert.Service{Name: string(rune('a' + i)), State: advert.State(rapid.IntRange(int(advert.Stopped), int(advert.Failed)).Draw(t, "state")),
					Preference: uint8(rapid.IntRange(1, 2).Draw(t, "preference")), Seen: advert.NewClaim(1, rapid.SampledFrom([]RouterID{r1, r2}).Draw(t, "seen"))}
				if s.State == advert.Starting {
					s.Step = rapid.SampledFrom([]advert.Step{advert.StepClaim, advert.StepStart}).Draw(t, "step")
				}
				if has(s.State) > 0 {
					s.Claim = advert.NewClaim(uint32(rapid.IntRange(1, 2).Draw(t, "claim")), r)
				}
				if i != 2 {
					s.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, 9, 0, byte(rapid.IntRange(i, i+1).Draw(t, "address"))})}
				}
				if i > 2 {
					s.Group = rapid.SampledFrom([]string{"G", "G", "G", "H", ""}).Draw(t, "group")
				}
				if i == 4 && rapid.Bool().Draw(t, "depends") {
					s.Dependencies = []string{"d"}
				}
				for _, f := range []advert.Flags{advert.FlagCritical, advert.FlagHolding, advert.FlagProbation, advert.FlagMayStillRun, advert.FlagStrict} {
					s.Flags = s.Flags.With(f, rapid.IntRange(0, 3).Draw(t, "flag") == 0)
				}
				if rapid.IntRange(0, 9).Draw(t, "pins") == 0 {
					s.Pin = advert.Pin{Number: uint64(rapid.IntRange(1, 9).Draw(t, "pin")), Target: rapid.SampledFrom(append(routers, r1+1)).Draw(t, "target"), Left: uint32(rapid.IntRange(0, 1).Draw(t, "for"))}
				}
				if rapid.IntRange(0, 9).Draw(t, "holds") == 0 {
					s.Hold = advert.Hold{Number: uint64(rapid.IntRange(1, 9).Draw(t, "hold")), On: rapid.Bool().Draw(t, "on")}
				}
				say(r, uint16(i), func(st advert.Stamp) advert.Body { s.Stamp = st; return advert.Body{Service: &s} })
			},
			"a peer's srrd speaks": func(t *rapid.T) {
				r := rapid.SampledFrom(routers).Draw(t, "router")
				st := advert.NodeState(rapid.IntRange(int(advert.Online), int(advert.Leaving)).Draw(t, "state"))
				say(r, DaemonID, func(s advert.Stamp) advert.Body {
					return advert.Body{Node: &advert.Node{Stamp: s, Host: fmt.Sprint("h", rapid.IntRange(1, 2).Draw(t, "host"), r), State: st}}
				})
			},
			"an LSA goes": func(t *rapid.T) {
				r := rapid.SampledFrom(routers).Draw(t, "router")
				if len(refs[r]) > 0 {
					step(LSAGone{Router: r, Ref: rapid.SampledFrom(refs[r]).Draw(t, "ref")})
				}
			},
			"reachability changes": func(t *rapid.T) {
				r := rapid.SampledFrom(routers).Draw(t, "router")
				up := rapid.Bool().Draw(t, "up")
				step(Reach{Router: r, Area: up, AS: up})
			},
			"a timer fires": func(t *rapid.T) {
				var all []SetTimer
				for _, k := range timers {
					if n.timers[k.Key] == k.Gen {
						all = append(all, k)
					}
				}
				if len(all) == 0 {
					return
				}
				slices.SortFunc(all, func(a, b SetTimer) int { return int(int64(a.Gen) - int64(b.Gen)) })
				k := rapid.SampledFrom(all).Draw(t, "timer")
				if k.At.After(now) {
					now = k.At
				}
				delete(timers, k.Key)
				step(TimerFired{Key: k.Key, Gen: k.Gen})
			},
			"our LSAs are seen back, and our primitives end": func(t *rapid.T) {
				for _, s := range slices.Clone(n.services) {
					if s.topic != nil && s.topic.said && !s.topic.echoed {
						b, err := advert.Decode(s.topic.raw)
						if err != nil {
							t.Fatal(err)
						}
						step(LSASeen{Router: n.router, Ref: s.topic.ref, Raw: s.topic.raw, Body: b})
					}
					if r, ok := runs[s.name]; ok {
						delete(runs, s.name)
						step(PrimitiveDone{Service: s.name, Run: r.Run, Outcome: OutcomeDone})
					}
				}
			},
			"an operator commands": func(t *rapid.T) {
				c := Command{ID: 1, Verb: rapid.SampledFrom([]Verb{VerbMove, VerbUnmove, VerbStop, VerbStart, VerbConfirmStopped, VerbStandby, VerbOnline}).Draw(t, "verb"),
					Service: string(rune('a' + rapid.IntRange(0, 4).Draw(t, "service"))), Node: rapid.SampledFrom(routers).Draw(t, "node").String()}
				step(c)
			},
			"the configuration changes": func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "seldom") == 0 {
					step(Configured{Config: worldConfig(t)})
				}
			},
			"ospfd is lost and comes back": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "seldom") == 0 {
					step(OSPFDown{Why: "chance"})
					step(OSPFUp{Router: r1 + 1})
					step(Adjacency{Full: 1})
					step(Synced{})
				}
			},
		})
	})
	if testing.Short() {
		return // a fifth of the draws need not meet everything
	}
	for _, c := range []ReasonCode{BecauseBest, BecauseHeldBy, BecauseBetterCandidate, BecauseOthersPassed, BecauseFrozenThere} {
		if decided[c] == 0 {
			t.Errorf("never decided: %s", Reason{Code: c}.Word())
		}
	}
}
