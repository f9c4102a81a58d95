package whatif

import (
	"bytes"
	"context"
	"encoding/csv"
	"strings"
	"testing"
)

func TestASiteOfALargeClusterFailsAndEverythingRunsElsewhere(t *testing.T) {
	var all []Cost
	for _, z := range []Size{{Nodes: 20, Services: 20, Offers: 3, Sites: 4}, {Nodes: 40, Services: 20, Offers: 3, Sites: 4}, {Nodes: 40, Services: 40, Offers: 3, Sites: 4}} {
		c, err := Scale(context.Background(), z, Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Lost) > 0 || c.Moved != z.Services/z.Sites || c.First == 0 || c.Last < c.First {
			t.Errorf("%+v", c)
		}
		if c.Rest.LSAs != 0 {
			t.Errorf("at rest %d LSAs were flooded", c.Rest.LSAs)
		}
		if want := z.Nodes + z.Services*(z.Offers+1); c.Database != want {
			t.Errorf("a node holds %d LSAs, want one a node, one an offer and one an address: %d", c.Database, want)
		}
		all = append(all, c)
	}
	if a, b := all[0].Fail, all[1].Fail; b.LSAs > a.LSAs*11/10 || b.SentBytes < a.SentBytes*3/2 {
		t.Errorf("with twice the nodes as many LSAs should be flooded, over twice the links: %+v, %+v", a, b)
	}
	var text, table bytes.Buffer
	if err := CostsText(&text, all); err != nil || !strings.Contains(text.String(), "LSAs grow with services^") || strings.Contains(text.String(), "WRONG") {
		t.Errorf("%v\n%s", err, text.String())
	}
	if err := CostsCSV(&table, all); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil || len(rows) != 4 || len(rows[0]) != len(rows[1]) {
		t.Errorf("%v: %v", err, rows)
	}
}

func TestSizesThatCannotBeAreRefused(t *testing.T) {
	for _, z := range []Size{{}, {Nodes: 10, Services: 10, Offers: 11, Sites: 2}, {Nodes: 10, Services: 10, Offers: 3, Sites: 1}, {Nodes: 1000, Services: 1000, Offers: 1000, Sites: 10}} {
		if _, err := Scale(context.Background(), z, Options{}); err == nil {
			t.Errorf("%+v was measured", z)
		}
	}
}
