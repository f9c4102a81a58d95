// Command srrguest boots a Debian machine with systemd in QEMU's emulation, and
// tries srrd's units in it. `make guest` runs it; see deploy/lab/guest.
//
//	srrguest -disk DIR -tree DIR        DIR of deploy/install/guest-root, and of `make install DESTDIR=`
//	srrguest -only networkd ...         only checks whose names match, and what they need
//	srrguest agent                      the other end, in the machine
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/srrd/srrd/deploy/lab/guest"
)

// The exit statuses.
const (
	exitOK = iota
	exitFindings
	exitUsage
	exitBroken // it could not be run to its end
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "agent" { // a signal ends it at once: a read would not
		if err := guest.Agent(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "srrguest agent:", err)
			os.Exit(exitBroken)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string) int {
	f := flag.NewFlagSet("srrguest", flag.ContinueOnError)
	c := guest.Config{Out: os.Stdout, Log: io.Discard}
	loud := f.Bool("v", false, "print every script that is run in the machine, and what it says")
	f.StringVar(&c.Disk, "disk", "", "directory with the machine's kernel, initrd and root.ext4")
	f.StringVar(&c.Tree, "tree", "", "directory with srrd, as installed")
	f.StringVar(&c.Only, "only", "", "run the checks whose names match this regular expression, and what they need")
	f.StringVar(&c.Keep, "keep", "", "directory for the machine's console and journal; default: kept only if something was found")
	if err := f.Parse(args); err != nil {
		return exitUsage
	}
	if *loud {
		c.Log = os.Stderr
	}
	if f.NArg() > 0 || c.Disk == "" || c.Tree == "" {
		fmt.Fprintln(os.Stderr, "srrguest: -disk and -tree are wanted, and no arguments")
		return exitUsage
	}
	failed, err := guest.Try(ctx, c)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "srrguest:", err)
		return exitBroken
	case failed > 0:
		return exitFindings
	}
	return exitOK
}
