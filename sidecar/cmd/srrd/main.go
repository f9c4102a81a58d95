// Command srrd is the Service Routing Redundancy Daemon: a sidecar of FRR that
// makes servers on different subnets into one cluster server.
//
//	srrd                  run (also the way systemd starts it)
//	srrd --check-config   say everything that is wrong with the configuration
//	srrd plan             say what would change if it were loaded
//	srrd doctor           say what FRR needs; --apply sets it
//	srrd cert             make a small CA and certificates, for a lab
package main

import (
	"os"
	"runtime/debug"
)

// garbagePercent of what lives may be garbage before it is collected. srrd sits
// beside routers on small machines and allocates little: memory is worth more
// than the collector's time. GOGC says otherwise.
const garbagePercent = 40

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
