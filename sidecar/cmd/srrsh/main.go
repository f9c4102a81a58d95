// Srrsh is the shell of srrd: interactive like vtysh, or one command at a time.
//
//	srrsh                          a session
//	srrsh -c "show service"        one command, or several -c in turn
//	srrsh -o json -c "show node"   for programs
//	srrsh < FILE                   a command a line
//
// It exits with 0 when every command was carried out, 1 when one was not (the
// rest is left), 2 when it was itself called wrongly, and 3 when srrd cannot
// be reached.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// An interrupt ends the command that runs, not always the session; only
	// the session knows, so it listens for interrupts itself.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
