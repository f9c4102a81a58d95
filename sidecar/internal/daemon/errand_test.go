package daemon

import (
	"testing"

	"github.com/srrd/srrd/sidecar/internal/web"
)

func TestALineOfAnotherNodeNeedsTheRoleOfThePages(t *testing.T) {
	for line, want := range map[string]web.Errand{
		"show service":            {Line: "show service", Looks: true, Least: web.Viewer},
		"nonsense":                {Line: "nonsense", Looks: true, Least: web.Viewer},
		"-o json why dns":         {Line: "why dns", Looks: true, Least: web.Viewer, Service: "dns"},
		"service dns stop":        {Line: "service dns stop", Least: web.Operator, Service: "dns"},
		"node drain":              {Line: "node drain", Least: web.Operator},
		"reload":                  {Line: "reload", Least: web.Admin},
		"show running-config":     {Line: "show running-config", Least: web.Admin},
		"ospf show ip ospf route": {Line: "ospf show ip ospf route", Least: web.Admin, Daemon: "ospfd", Command: "show ip ospf route"},
		"watch":                   {Line: "watch", Client: true, Least: web.Viewer},
	} {
		if got := errand(line); got != want {
			t.Errorf("%q is %+v, want %+v", line, got, want)
		}
	}
}
