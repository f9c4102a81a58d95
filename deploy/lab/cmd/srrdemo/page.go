package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// picture is the topology as the demo introduces it.
const picture = `             client
               |
              r0
             /  \             every router and node runs FRR: zebra, bfdd, ospfd
           r1 -- r2           n1, n2 and n3 run srrd beside it and offer one service:
           |      |           web at 10.250.0.1, which is on neither LAN
        ---+---  -+-
         |   |    |
        n1   n2   n3`

// defaultWidth is how wide tables are where nothing is known of the terminal.
const defaultWidth = 110

// page is where people read: headings, the commands as typed, what they print.
type page struct {
	out   io.Writer
	width int // of what srrsh prints, columns
	bold  bool
}

func newPage(f *os.File) *page {
	p := &page{out: f, width: defaultWidth}
	if ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
		p.bold = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
		if ws.Col > 40 {
			p.width = min(int(ws.Col)-len(indent), 140)
		}
	}
	return p
}

const indent = "    "

// heading begins a step.
func (p *page) heading(text string) {
	if p.bold {
		text = "\x1b[1m" + text + "\x1b[0m"
	}
	fmt.Fprintf(p.out, "\n== %s\n\n", text)
}

// command shows where something is typed, and what.
func (p *page) command(host, line string) {
	if p.bold {
		line = "\x1b[1m" + line + "\x1b[0m"
	}
	fmt.Fprintf(p.out, "  %s$ %s\n", host, line)
}

// text shows what a command printed.
func (p *page) text(text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		if line = strings.TrimRight(line, " \n"); line != "" {
			line = indent + line
		}
		fmt.Fprintln(p.out, line)
	}
	fmt.Fprintln(p.out)
}

// said is a sentence between commands.
func (p *page) said(format string, a ...any) {
	fmt.Fprintf(p.out, "  "+format+"\n", a...)
}

// judged is the outcome of one check.
func (p *page) judged(ok bool, format string, a ...any) {
	word := "ok   "
	if !ok {
		word = "FAIL "
		if p.bold {
			word = "\x1b[1;31mFAIL\x1b[0m "
		}
	}
	fmt.Fprintf(p.out, "  "+word+format+"\n", a...)
}
