package ospf

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/srrd/srrd/lsdb/lsa"
	"github.com/srrd/srrd/ospfapi"
	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

// A stray is an LSA of ours that ospfd holds and has forgotten to be its own: it
// answers OK to our DELETE, logs "Invalid parameter?", and keeps it until it has
// aged out, for others to get from it with the database. It makes one of every
// LSA that it refuses because it has forgotten our opaque types, since it
// installs first and looks for the type afterwards (FRR from 10 on,
// ospf_lsa_install); before 8.3 a client that dies leaves its LSAs of type 11 so.
//
// What was originated over this connection and taken is ospfd's own, and gone with
// the answer to a DELETE. Everything else is doubted: whether it went only the
// database shows, and so it is asked for. What is there still is originated once
// more, which makes it ospfd's own again (ospf_apiserver_originate1), with a body
// that says nothing, and deleted. Before 8.3 that has no effect either.

const (
	// strayTries is how often that is tried, strayWait apart.
	strayTries = 5
	strayWait  = 5 * time.Second
)

// ownTypes are those in which ospfd is asked for what it holds of our own.
var ownTypes = ospfapi.MaskOf(ospfapi.ASExternalLSA, ospfapi.NSSALSA, ospfapi.OpaqueLink, ospfapi.OpaqueArea, ospfapi.OpaqueAS)

// doubtAll doubts all of our LSAs that are in the database now.
func (m *mirror) doubtAll() {
	for _, e := range m.db.ByAdv(m.self) {
		switch e.Key.Type {
		case lsa.TypeOpaqueLink, lsa.TypeOpaqueArea, lsa.TypeOpaqueAS:
			if id := lsa.OpaqueIDOf(e.Key.ID); id.Type == advert.OpaqueType && !e.MaxAge {
				ref := machine.LSARef{Scope: m.scopeOf(e.Key), ID: id.ID}
				if _, known := m.doubted[ref]; !known {
					m.doubted[ref] = false
				}
			}
		}
	}
}

// refuse notes that ospfd refused an LSA. It told of it before, if it kept it, or
// will.
func (m *mirror) refuse(ref machine.LSARef) {
	m.doubted[ref] = true
	if e, held := m.db.Lookup(m.keyOf(ref)); held && !e.MaxAge {
		m.stray(ref)
	}
}

// own notes that ospfd took an LSA.
func (m *mirror) own(ref machine.LSARef) {
	delete(m.doubted, ref)
	delete(m.strays, ref)
}

// stray notes an LSA that ospfd refused and kept: nobody else asks for its end.
func (m *mirror) stray(ref machine.LSARef) {
	if _, known := m.strays[ref]; !known {
		m.strays[ref] = 0
		m.astray(ref)
	}
}

// astray has the session look after a stray. To refuse and keep one means that
// its type was forgotten, which the refusal does not say of link scope.
func (p *Port) astray(ref machine.LSARef) {
	if ref.Scope.Kind == machine.ScopeLink {
		signal(p.anew)
	}
	signal(p.strays)
}

// flushed takes ospfd's OK to a DELETE.
func (p *Port) flushed(ref machine.LSARef) {
	if _, doubted := p.db.doubted[ref]; !p.db.up || !doubted {
		p.db.flushed(time.Now(), ref)
		return
	}
	p.db.strays[ref] = 0
	signal(p.strays)
}

// stray is what the database shows of one.
type stray struct {
	ref     machine.LSARef
	nothing bool // it says nothing any more
}

// straying lists those that are in the database after all, and counts the try;
// the others are done with. Those it gives up people are told of.
func (m *mirror) straying(can bool) (still []stray) {
	for ref, tries := range m.strays {
		e, held := m.db.Lookup(m.keyOf(ref))
		switch {
		case !held || e.MaxAge:
			m.own(ref) // or nobody's
		case !can:
			m.giveUp(ref, "before FRR 8.3 there is no way")
		case tries == strayTries:
			m.giveUp(ref, fmt.Sprintf("it was tried %d times", tries))
		default:
			m.strays[ref]++
			content, why := m.keys().Open(e.Raw[lsa.HeaderLen:], origin(ref, advert.RouterIDFrom(m.self)))
			still = append(still, stray{ref, why == advert.Taken && advert.IsNothing(content)})
		}
	}
	slices.SortFunc(still, func(a, b stray) int { return cmp.Compare(a.ref.String(), b.ref.String()) })
	return still
}

func (m *mirror) giveUp(ref machine.LSARef, why string) {
	delete(m.strays, ref)
	m.log.Warn("an LSA of ours cannot be deleted: ospfd has forgotten that it is its own; it ages out within an hour", "lsa", ref, "why", why)
}

// bury rids ospfd's database of strays. An error ends the session.
func (p *Port) bury(ctx context.Context, c *ospfapi.Client) error {
	if err := p.sync(ctx, c); err != nil {
		return err
	}
	found := make(chan []stray, 1)
	can := c.Dialect().SyncState // as old as the way to own an LSA again (FRR 8.3)
	p.tell(func() { found <- p.db.straying(can) })
	var still []stray
	select {
	case still = <-found:
	case <-p.done:
		return nil
	case <-ctx.Done():
		return nil
	}
	for _, s := range still {
		if err := p.overwrite(ctx, c, s); err != nil {
			if c.Err() != nil || ctx.Err() != nil {
				return nil // whoever ended the session says why
			}
			p.cfg.Log.Warn("an LSA of ours that ospfd does not own is still there", "lsa", s.ref, "err", err)
			continue
		}
		p.tell(func() {
			p.db.own(s.ref)
			p.db.flushed(time.Now(), s.ref)
		})
		p.cfg.Log.Info("an LSA of ours that ospfd did not own any more was overwritten and deleted", "lsa", s.ref)
	}
	p.tell(func() {
		if len(p.db.strays) > 0 {
			p.retry.Reset(strayWait)
		}
	})
	return nil
}

// overwrite makes a stray ospfd's own and deletes it.
func (p *Port) overwrite(ctx context.Context, c *ospfapi.Client, s stray) error {
	if !s.nothing {
		o, err := p.origination(s.ref, advert.Nothing())
		if err != nil {
			return err
		}
		if err := c.Originate(ctx, o); err != nil {
			if unregistered(s.ref.Scope, err) {
				signal(p.anew)
			}
			return err
		}
	}
	d, err := p.deletion(s.ref)
	if err != nil {
		return err
	}
	return c.Delete(ctx, d)
}
