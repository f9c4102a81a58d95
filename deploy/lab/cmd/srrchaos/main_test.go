package main

import (
	"strings"
	"testing"
)

func TestTheScheduleIsListedWithoutRunningIt(t *testing.T) {
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"-topology", "../../topologies/chaos.yaml", "-seed", "3", "-list", "5"}, &out, &errs); code != exitOK {
		t.Fatalf("exit status %d: %s", code, &errs)
	}
	if got := strings.Count(out.String(), "round "); got != 5 {
		t.Errorf("%d rounds in\n%s", got, &out)
	}
}

func TestWrongArgumentsAreUsageErrors(t *testing.T) {
	for _, args := range [][]string{{"-seed", "x"}, {"more"}, {"-slack", "0"}, {"-topology", "none.yaml"},
		{"-topology", "../../topologies/chaos.yaml", "-only", "earthquake"}, {"-topology", "../../topologies/chaos.yaml", "-frr", "0.1"}} {
		var out, errs strings.Builder
		if code := run(t.Context(), args, &out, &errs); code != exitUsage || errs.Len() == 0 {
			t.Errorf("%v: exit status %d, said %q", args, code, &errs)
		}
	}
}
