package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	nodeJSON = `{"host":"n1","nodes":[{"host":"n1","status":"present"},{"host":"n2","status":"srrd gone"},{"host":"n3","status":"present"}]}`
	webJSON  = `{"services":[{"name":"other","holder":"n9"},{"name":"web","holder":"n3","config":"active","state":"stopped",
		"offers":[{"host":"n3","rank":1},{"host":"n1","rank":2},{"host":"n2","rank":0}]}]}`
)

func TestWhatANodeSaysIsRead(t *testing.T) {
	got, err := parseSeen(nodeJSON, webJSON)
	if err != nil {
		t.Fatal(err)
	}
	want := seen{
		status: map[string]string{"n1": present, "n2": srrdGone, "n3": present},
		holder: "n3", here: stopped, fit: []string{"n1", "n3"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(seen{})); diff != "" {
		t.Error(diff)
	}
	if _, err := parseSeen("% no such node", webJSON); err == nil {
		t.Error("a refusal was taken for an answer")
	}
}

func TestEveryDifferenceFromWhatANodeShouldSayIsNamed(t *testing.T) {
	got, err := parseSeen(nodeJSON, webJSON)
	if err != nil {
		t.Fatal(err)
	}
	if text := without(nodes, "n2", srrdGone, "n3")["n1"].differs(got); text != "" {
		t.Errorf("as it should be, but: %s", text)
	}
	text := whole(nodes, "n1")["n1"].differs(got)
	for _, want := range []string{
		`n2 is "srrd gone", should be "present"`,
		`web runs on "n3", should run on "n1"`,
		`web is active/stopped there, should be active/started`,
		`candidates are ["n1" "n3"], should be ["n1" "n2" "n3"]`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
}

func TestTheOneThatIsGoneIsNotAsked(t *testing.T) {
	all := without(nodes, "n2", unreachable, "n3")
	if _, asked := all["n2"]; asked || len(all) != 2 {
		t.Errorf("asked: %v", all)
	}
	if all["n3"].here != started || all["n1"].here != stopped {
		t.Errorf("n3 should run it, and n1 not: %v", all)
	}
	if !cmp.Equal(nodes, []string{"n1", "n2", "n3"}) {
		t.Errorf("the list of nodes was changed: %v", nodes)
	}
}

func TestThePageOfANodeIsReadAsAPersonWould(t *testing.T) {
	if got := lastWords("<!DOCTYPE html>\n<title>web</title>\n<p>web on <b>n2</b>, claim 7\n"); got != "web on n2, claim 7" {
		t.Errorf("got %q", got)
	}
	if got := lastWords(""); got != "" {
		t.Errorf("got %q of nothing", got)
	}
}

func TestEvidenceIsOneTimeLine(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	got := timeline([]event{
		{host: "n3", At: at.Add(30 * time.Millisecond), Service: "web", Text: "started"},
		{host: "n1", At: at.Add(1500 * time.Microsecond), Text: "node n2 is unreachable"},
	}, at)
	want := "       1.5 ms  n1       node n2 is unreachable\n      30.0 ms  n3      web started\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestEveryFaultOfTheTableHasALimit(t *testing.T) {
	for _, fault := range []string{faultMove, faultSilent, faultReturn, faultKillSrrd, faultSrrdReturns, faultKillOspfd, faultOspfdReturns} {
		if limits[fault] <= 0 {
			t.Errorf("%s has none", fault)
		}
	}
}
