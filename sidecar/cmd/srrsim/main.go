// Command srrsim runs simulated clusters: one that is made up, or one that is
// taken up from what a live cluster's shell dumps, to tell what would happen
// if. It touches nothing of a live cluster.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
