package ospfapi_test

import (
	"bytes"
	"errors"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/srrd/srrd/ospfapi"
	"github.com/srrd/srrd/ospfapi/ospfapitest"
)

var cmpAddr = cmpopts.EquateComparable(netip.Addr{})

// decodeAny decodes one whole message of either direction.
func decodeAny(b []byte, d ospfapi.Dialect) (ospfapi.Header, any, error) {
	h, body, rest, err := ospfapi.SplitMessage(b)
	if err != nil {
		return h, nil, err
	}
	if len(rest) > 0 {
		return h, nil, errors.New("octets behind the message")
	}
	switch {
	case h.Type == ospfapi.MsgReply:
		r, err := ospfapi.DecodeReply(h, body)
		return h, r, err
	case d.Knows(h.Type):
		r, err := ospfapi.DecodeRequest(h, body, d)
		return h, r, err
	default:
		n, err := ospfapi.DecodeNotification(h, body)
		return h, n, err
	}
}

func appendAny(d ospfapi.Dialect, seq uint32, m any) ([]byte, error) {
	switch m := m.(type) {
	case ospfapi.Request:
		return ospfapi.AppendRequest(nil, d, seq, m)
	case ospfapi.Notification:
		return ospfapi.AppendNotification(nil, m)
	case ospfapi.Reply:
		return ospfapi.AppendReply(nil, m), nil
	default:
		return nil, errors.New("no message")
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// own is an LSA as a client hands it to Originate, length filled in.
func own(t ospfapi.LSType) []byte {
	lsa := lsa222(t, 1, "srrd wire golden")
	lsa[19] = byte(len(lsa))
	return lsa
}

// flooded is the LSA that ospfd made of it.
func flooded(t ospfapi.LSType, age uint16, options byte) []byte {
	lsa := lsa222(t, 1, "srrd wire golden")
	lsa[2] = options
	copy(lsa[8:], []byte{10, 98, 9, 1})
	ospfapitest.SetHeader(lsa, age, 0x80000001)
	return lsa
}

// goldenTable says what every golden means.
func goldenTable() map[string]struct {
	seq uint32
	msg any
} {
	type row = struct {
		seq uint32
		msg any
	}
	zero := netip.IPv4Unspecified()
	all := ospfapi.Filter{Types: ospfapi.AllTypes, Origin: ospfapi.AnyOrigin}
	a, b := addr("10.98.0.1"), addr("10.98.0.2")
	ra, rb := addr("10.98.9.1"), addr("10.98.9.2")
	return map[string]row{
		"register-link":             {10, ospfapi.Register{Type: 9, Opaque: 222}},
		"register-area":             {12, ospfapi.Register{Type: 10, Opaque: 222}},
		"register-as":               {14, ospfapi.Register{Type: 11, Opaque: 222}},
		"unregister":                {1029, ospfapi.Unregister{Type: 9, Opaque: 222}},
		"register-event":            {4, ospfapi.RegisterEvents{Filter: all}},
		"register-event-none":       {3, ospfapi.RegisterEvents{Filter: ospfapi.Filter{Origin: ospfapi.AnyOrigin}}},
		"sync-lsdb":                 {5, ospfapi.SyncLSDB{Filter: all}},
		"sync-lsdb-as":              {1024, ospfapi.SyncLSDB{Filter: ospfapi.Filter{Types: ospfapi.MaskOf(ospfapi.OpaqueAS), Origin: ospfapi.AnyOrigin}}},
		"originate-link":            {11, ospfapi.Originate{IfAddr: a, Area: zero, LSA: own(9)}},
		"originate-area":            {13, ospfapi.Originate{IfAddr: zero, Area: zero, LSA: own(10)}},
		"originate-as":              {15, ospfapi.Originate{IfAddr: zero, Area: zero, LSA: own(11)}},
		"delete-link":               {16, ospfapi.Delete{Type: 9, ID: 222<<24 | 1, IfAddr: a}},
		"delete-area":               {17, ospfapi.Delete{Type: 10, ID: 222<<24 | 1, Area: zero}},
		"delete-as":                 {18, ospfapi.Delete{Type: 11, ID: 222<<24 | 1, Area: zero}},
		"delete-zero-length":        {20, ospfapi.Delete{Type: 11, ID: 222<<24 | 1, Area: zero, ZeroLength: true}},
		"sync-reachable":            {1, ospfapi.SyncReachable{}},
		"sync-ism":                  {7, ospfapi.SyncISM{}},
		"sync-nsm":                  {8, ospfapi.SyncNSM{}},
		"sync-router-id":            {2, ospfapi.SyncRouterID{}},
		"reply-ok":                  {1, ospfapi.Reply{Seq: 1}},
		"reply-in-use":              {21, ospfapi.Reply{Seq: 21, Code: ospfapi.OpaqueTypeInUse}},
		"reply-no-such-lsa":         {22, ospfapi.Reply{Seq: 22, Code: ospfapi.NoSuchLSA}},
		"ready-link":                {0, ospfapi.Ready{Type: 9, Opaque: 222, Addr: a}},
		"ready-area":                {0, ospfapi.Ready{Type: 10, Opaque: 222, Addr: zero}},
		"ready-as":                  {0, ospfapi.Ready{Type: 11, Opaque: 222, Addr: zero}},
		"lsa-update-link-self":      {0, ospfapi.LSAUpdate{IfAddr: a, Area: zero, Self: true, LSA: flooded(9, 0, 0x42)}},
		"lsa-update-area-self":      {0, ospfapi.LSAUpdate{IfAddr: zero, Area: zero, Self: true, LSA: flooded(10, 0, 0x42)}},
		"lsa-update-as-self":        {0, ospfapi.LSAUpdate{IfAddr: zero, Area: zero, Self: true, LSA: flooded(11, 0, 0x40)}},
		"lsa-update-link-foreign":   {0, ospfapi.LSAUpdate{IfAddr: b, Area: zero, LSA: flooded(9, 1, 0x42)}},
		"lsa-update-area-foreign":   {0, ospfapi.LSAUpdate{IfAddr: zero, Area: zero, LSA: flooded(10, 1, 0x42)}},
		"lsa-update-as-foreign":     {0, ospfapi.LSAUpdate{IfAddr: zero, Area: zero, LSA: flooded(11, 1, 0x40)}},
		"lsa-delete-link-foreign":   {0, ospfapi.LSADelete{IfAddr: b, Area: zero, LSA: flooded(9, 1, 0x42)}},
		"lsa-delete-area-foreign":   {0, ospfapi.LSADelete{IfAddr: zero, Area: zero, LSA: flooded(10, 1, 0x42)}},
		"lsa-delete-as-foreign":     {0, ospfapi.LSADelete{IfAddr: zero, Area: zero, LSA: flooded(11, 1, 0x40)}},
		"lsa-update-router-foreign": {0, ospfapi.LSAUpdate{IfAddr: zero, Area: zero, LSA: routerLSA()}},
		"new-if":                    {0, ospfapi.NewInterface{IfAddr: addr("10.98.1.1"), Area: addr("0.0.0.5")}},
		"del-if":                    {0, ospfapi.DelInterface{IfAddr: addr("10.98.1.1")}},
		"ism-change":                {7, ospfapi.ISMChange{Seq: 7, IfAddr: a, Area: zero, State: ospfapi.ISMPointToPoint}},
		"nsm-change-full":           {0, ospfapi.NSMChange{IfAddr: a, Neighbor: b, RouterID: rb, State: ospfapi.NSMFull}},
		"reachable-added":           {0, ospfapi.ReachableChange{Added: []netip.Addr{ra}}},
		"reachable-removed":         {0, ospfapi.ReachableChange{Removed: []netip.Addr{ra}}},
		"router-id-change":          {2, ospfapi.RouterIDChange{Seq: 2, RouterID: ra}},
	}
}

// routerLSA is the router-LSA of 10.98.9.2 with its one stub link.
func routerLSA() []byte {
	lsa := ospfapitest.NewLSA(ospfapi.RouterLSA, 0x0a620902, addr("10.98.9.2"), 0x80000001,
		[]byte{0, 0, 0, 1, 10, 98, 0, 0, 255, 255, 255, 0, 3, 0, 0, 10})
	lsa[2] = 0x02 // options E, as ospfd sets for a router-LSA
	ospfapitest.SetHeader(lsa, 1, 0x80000001)
	return lsa
}

func goldenNames(t testing.TB) []string {
	files, err := filepath.Glob(filepath.Join(wireDir, "*.hex"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens in %s: %v", wireDir, err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".hex")
	}
	return files
}

func TestGoldensBothWays(t *testing.T) {
	table := goldenTable()
	for _, name := range goldenNames(t) {
		t.Run(name, func(t *testing.T) {
			row, ok := table[name]
			if !ok {
				t.Fatal("a golden the table does not explain")
			}
			golden := readGolden(t, name)
			h, got, err := decodeAny(golden, ospfapi.FRR84)
			if err != nil {
				t.Fatal(err)
			}
			if h.Seq != row.seq {
				t.Errorf("sequence number %d, want %d", h.Seq, row.seq)
			}
			if diff := cmp.Diff(row.msg, got, cmpAddr); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
			b, err := appendAny(ospfapi.FRR84, row.seq, row.msg)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(golden, b); diff != "" {
				t.Errorf("encoded (-want +got):\n%s", diff)
			}
		})
		delete(table, name)
	}
	for name := range table {
		t.Errorf("no golden %s", name)
	}
}

func TestEveryTruncationOfEveryGoldenIsAnError(t *testing.T) {
	for _, name := range goldenNames(t) {
		golden := readGolden(t, name)
		for n := range len(golden) {
			// Cut on the wire.
			if _, _, err := decodeAny(golden[:n], ospfapi.FRR84); !errors.Is(err, ospfapi.ErrTruncated) {
				t.Errorf("%s cut to %d octets: %v", name, n, err)
			}
			// Cut with the header telling the shorter length.
			if n < ospfapi.HeaderLen {
				continue
			}
			cut := bytes.Clone(golden[:n])
			cut[2], cut[3] = 0, byte(n-ospfapi.HeaderLen)
			_, _, err := decodeAny(cut, ospfapi.FRR84)
			filler := strings.HasPrefix(name, "sync-") && !strings.HasPrefix(name, "sync-lsdb") && n > ospfapi.HeaderLen
			if (err == nil) != filler {
				t.Errorf("%s with a body of %d octets: %v", name, n-ospfapi.HeaderLen, err)
			}
		}
	}
}

func TestDeleteDiffersByDialect(t *testing.T) {
	area := addr("0.0.0.5")
	link := ospfapi.Delete{Type: 9, ID: 222<<24 | 0x010203, IfAddr: ifA, Area: area, ZeroLength: true}
	for _, c := range []struct {
		d    ospfapi.Dialect
		req  ospfapi.Delete
		want []byte // body
	}{
		{ospfapi.FRR84, link, []byte{192, 0, 2, 1, 9, 222, 0, 1, 0, 1, 2, 3}},
		{ospfapi.FRR83, link, []byte{0, 0, 0, 5, 9, 222, 0, 0, 0, 1, 2, 3}},
		{ospfapi.FRR75, link, []byte{0, 0, 0, 5, 9, 222, 0, 0, 0, 1, 2, 3}},
		{ospfapi.FRR75, ospfapi.Delete{Type: 10, ID: 222 << 24, IfAddr: ifA, Area: area}, []byte{0, 0, 0, 5, 10, 222, 0, 0, 0, 0, 0, 0}},
		{ospfapi.FRR84, ospfapi.Delete{Type: 11, ID: 222 << 24, IfAddr: ifA, Area: area}, []byte{0, 0, 0, 0, 11, 222, 0, 0, 0, 0, 0, 0}},
	} {
		b, err := ospfapi.AppendRequest(nil, c.d, 1, c.req)
		must(t, err)
		if !bytes.Equal(b[ospfapi.HeaderLen:], c.want) {
			t.Errorf("%s, type %d: % x, want % x", c.d.Name, c.req.Type, b[ospfapi.HeaderLen:], c.want)
		}
	}
}

func TestTypeMaskBitsAreThoseOfPower2(t *testing.T) {
	for lt, want := range map[ospfapi.LSType]ospfapi.TypeMask{1: 0x0001, 2: 0x0002, 5: 0x0010, 9: 0x0100, 10: 0x0200, 11: 0x0400, 0: 0, 17: 0} {
		if got := ospfapi.MaskOf(lt); got != want {
			t.Errorf("LS type %d: %#04x, want %#04x", lt, got, want)
		}
	}
}

func TestMarksOfTheClientDoNotTravel(t *testing.T) {
	for _, n := range []ospfapi.Notification{ospfapi.SyncStarted{}, ospfapi.SyncDone{}, ospfapi.Overflow{}, ospfapi.Undecoded{}} {
		if b, err := ospfapi.AppendNotification([]byte{1}, n); err == nil || len(b) != 1 {
			t.Errorf("%T: %x, %v", n, b, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, name := range goldenNames(f) {
		f.Add(readGolden(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, d := range []ospfapi.Dialect{ospfapi.FRR75, ospfapi.FRR84} {
			h, first, err := decodeAny(b, d)
			if err != nil {
				continue
			}
			again, err := appendAny(d, h.Seq, first)
			var refused *ospfapi.RequestError
			if errors.As(err, &refused) {
				continue // decodes, but no client of ours would send it
			}
			if err != nil {
				t.Fatalf("%#v does not encode: %v", first, err)
			}
			_, second, err := decodeAny(again, d)
			if err != nil {
				t.Fatalf("%#v encodes to %x, which does not decode: %v", first, again, err)
			}
			third, err := appendAny(d, h.Seq, second)
			if err != nil || !bytes.Equal(again, third) {
				t.Fatalf("not stable: %x then %x, %v", again, third, err)
			}
			if _, isOriginate := first.(ospfapi.Originate); !isOriginate && !reflect.DeepEqual(first, second) {
				t.Fatalf("%#v became %#v", first, second)
			}
		}
	})
}

// BenchmarkDecodeSyncOf5000 is the cost of one full sync of 5,000 LSAs of 220
// octets, from the octets of the stream to notifications.
func BenchmarkDecodeSyncOf5000(b *testing.B) {
	var stream []byte
	for i := range 5000 {
		lsa := ospfapitest.NewLSA(ospfapi.OpaqueArea, 222<<24|uint32(i), otherID, 0x80000001, make([]byte, 200))
		stream, _ = ospfapi.AppendNotification(stream, ospfapi.LSAUpdate{Seq: 5, LSA: lsa})
	}
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		r := bytes.NewReader(stream)
		for n := 0; n < 5000; n++ {
			h, body, err := ospfapi.ReadMessage(r)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := ospfapi.DecodeNotification(h, body); err != nil {
				b.Fatal(err)
			}
		}
	}
}
