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
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
