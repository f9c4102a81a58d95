package view

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/srrd/srrd/lsdb"
)

// Database is the mirrored link-state database. The zero value is an empty
// one.
type Database struct {
	Mirror *lsdb.Snapshot
	// Decode puts the body of an opaque LSA into words, a line for each thing
	// it says, the first a summary of all; it may be nil.
	Decode func(opaqueType uint8, body []byte) (text string, ok bool)
}

// LSARow is one LSA in words.
type LSARow struct {
	Type     string          `json:"type"`
	Scope    string          `json:"scope"` // area, or own interface address for type 9; "" for AS scope
	ID       string          `json:"id"`
	Router   string          `json:"router_id"` // advertising router
	Host     string          `json:"host"`
	Self     bool            `json:"self"`
	MaxAge   bool            `json:"max_age"`
	Age      uint16          `json:"age"` // seconds
	Seq      string          `json:"seq"`
	Checksum string          `json:"checksum"`
	Length   uint16          `json:"length"` // bytes
	Gist     string          `json:"gist"`   // what it says, in a line
	Body     json.RawMessage `json:"body,omitempty"`
	Text     string          `json:"text,omitempty"` // all it says, several lines
}

// Kinds are the words by which LSAs are asked for: those of `show ip ospf
// database`, with "all" and "opaque" for every scope of these.
var Kinds = []string{"all", "router", "network", "summary", "asbr-summary", "external", "nssa-external",
	"opaque", "opaque-link", "opaque-area", "opaque-as"}

// LSAs lists the LSAs of a kind as of now, in the order of the database; with
// detail Body and Text are filled in.
func (s *Snapshot) LSAs(now time.Time, kind string, detail bool) []LSARow {
	rows := []LSARow{}
	if s.LSDB.Mirror == nil {
		return rows
	}
	for e := range s.LSDB.Mirror.All() {
		t := e.Key.Type.String()
		if kind != "all" && t != kind && !(kind == "opaque" && e.Key.Type.Opaque()) {
			continue
		}
		rows = append(rows, s.row(now, e, detail))
	}
	return rows
}

func (s *Snapshot) row(now time.Time, e *lsdb.Entry, detail bool) LSARow {
	r := LSARow{
		Type: e.Key.Type.String(), ID: e.Key.ID.String(), Router: e.Key.Adv.String(),
		Self: e.Self, MaxAge: e.MaxAge, Age: e.Age(now),
		Seq: e.LSA.Seq.String(), Checksum: e.LSA.Checksum.String(), Length: e.LSA.Length,
		Gist: strings.TrimSpace(strings.TrimPrefix(e.LSA.String(), e.LSA.Header.String())),
	}
	r.Host = s.HostOf(r.Router)
	if e.Key.Scope.IsValid() {
		r.Scope = e.Key.Scope.String()
	}
	if words, ok := s.words(e); ok {
		r.Gist, _, _ = strings.Cut(words, "\n")
	}
	if detail {
		// The age is that of now, not of when it came.
		l := e.LSA
		l.Age = r.Age
		r.Text = l.Detail(s.LSDB.Decode)
		if body, err := json.Marshal(e.LSA.Body); err == nil {
			r.Body = body
		}
	}
	return r
}

// words asks Decode, for opaque LSAs.
func (s *Snapshot) words(e *lsdb.Entry) (string, bool) {
	id, ok := e.LSA.Opaque()
	if !ok || s.LSDB.Decode == nil {
		return "", false
	}
	return s.LSDB.Decode(id.Type, e.Raw[min(headerLen, len(e.Raw)):])
}

// headerLen is the length of an LSA header (RFC 2328 section A.4.1).
const headerLen = 20
