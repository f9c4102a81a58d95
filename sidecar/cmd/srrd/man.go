package main

import (
	"github.com/srrd/srrd/sidecar/internal/config"
	"github.com/srrd/srrd/sidecar/internal/man"
)

// manual is srrd(8).
func manual() string {
	return man.Page(newRoot(&command{}), 8,
		man.Section{Title: "SIGNALS", Items: []man.Item{
			{Term: "SIGHUP", Text: "reads the configuration again, as `srrsh -c reload` does; if anything in it is wrong, the one in force stays"},
			{Term: "SIGUSR2", Text: "goes on with the srrd that is installed now, in the same process and with the same connections, as `srrsh -c \"daemon reexec\"` does; no service stops and no other node notices. If the new one cannot take over, the old one goes on, and says why in its log and `show events`"},
			{Term: "SIGTERM, SIGINT", Text: "stops the services in order, which other nodes then start, and ends; a second one ends srrd at once"},
		}},
		man.Section{Title: "EXIT STATUS", Items: []man.Item{
			{Term: "0", Text: "ended in order; nothing was found"},
			{Term: "1", Text: "an error, which was said"},
			{Term: "2", Text: "srrd was called wrongly"},
			{Term: "3", Text: "doctor: as FRR is, srrd would not start services"},
		}},
		man.Section{Title: "FILES", Items: []man.Item{
			{Term: config.DefaultPath, Text: "the configuration of the daemon"},
			{Term: "/etc/srrd/services.d/NAME.yaml", Text: "a service each"},
			{Term: "/var/lib/srrd", Text: "what outlives srrd: LSA ids, claims, what an operator enabled, moved or stopped"},
			{Term: "/run/srrd/srrd.vty", Text: "the socket of srrsh(1)"},
		}},
		man.Section{Title: "SEE ALSO", Text: "srrsh(1), ospfd(8), zebra(8)"},
	)
}
