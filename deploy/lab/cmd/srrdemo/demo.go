package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/srrd/srrd/deploy/lab"
)

// nodes are the cluster of the demo topology.
var nodes = []string{"n1", "n2", "n3"}

// The service's address: what is probed, and what a browser would ask.
var (
	probed = netip.MustParseAddrPort("10.250.0.1:7777")
	pages  = "http://10.250.0.1/"
)

const (
	// patience is how long the cluster may take to agree after something happened.
	patience = time.Minute
	// lookEvery is how often the nodes are asked meanwhile.
	lookEvery = 100 * time.Millisecond
	// grace is after which an answer is a loss, and so how long after a fault
	// its losses are known.
	grace = time.Second
	// busy is the gap between two datagrams from which on the machine is too
	// loaded for exact numbers.
	busy = 20 * time.Millisecond
)

// demo is a demo that runs.
type demo struct {
	*page
	opt    *options
	lab    *lab.Lab
	probe  *lab.Prober
	holder string // who runs the service now
	gone   string // who was broken last
	rows   []string
	failed []string
}

// srrsh is a command line for a host's own srrd.
func (d *demo) srrsh(host string, args ...string) []string {
	v := d.lab.Vars(host)
	return append([]string{v.Srrsh, "--socket", v.SrrdSocket}, args...)
}

// output runs a command and returns what it printed, to both outputs.
func (d *demo) output(host string, cmd *exec.Cmd) ([]byte, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(cmd.Env, fmt.Sprintf("COLUMNS=%d", d.width))
	err := d.lab.Run(host, cmd)
	return out.Bytes(), err
}

// ask types a command into a node's srrsh and shows both.
func (d *demo) ask(ctx context.Context, host, line string) error {
	d.command(host, `srrsh -c "`+line+`"`)
	out, err := d.output(host, d.lab.Command(ctx, host, d.srrsh(host, "-c", line)...))
	d.text(string(out))
	if err != nil {
		return fmt.Errorf("srrsh on %s: %s: %w", host, line, err)
	}
	return nil
}

// fetch asks for the page as the client, shows it, and returns which node
// it is from.
func (d *demo) fetch(ctx context.Context) (string, error) {
	d.command("client", "GET "+pages)
	text, err := d.get(ctx)
	if err != nil {
		d.text(err.Error())
		return "", err
	}
	d.text(text)
	// The page of deploy/service/web: SERVICE on NODE, claim N.
	if _, rest, ok := strings.Cut(text, service+" on "); ok {
		who, _, _ := strings.Cut(rest, ",")
		return who, nil
	}
	return "", fmt.Errorf("page of %s: does not say which node it is from: %s", pages, text)
}

// get is one HTTP request. It runs on a thread that is in the client's
// namespace; a transport would dial from a goroutine that is not.
func (d *demo) get(ctx context.Context) (text string, err error) {
	err = d.lab.Do("client", func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, pages, nil)
		if err != nil {
			return err
		}
		text, err = oneRequest(req)
		return err
	})
	return text, err
}

// lastWords is the last line of a page, without its tags.
func lastWords(page string) string {
	lines := strings.Split(strings.TrimSpace(page), "\n")
	line := lines[len(lines)-1]
	var out strings.Builder
	inTag := false
	for _, r := range line {
		switch {
		case r == '<':
			inTag = true
		case r == '>' && inTag:
			inTag = false
		case !inTag:
			out.WriteRune(r)
		}
	}
	return strings.TrimSpace(out.String())
}

// pageOf reads a response as a person would.
func pageOf(resp *http.Response) (string, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return "", err
	}
	return resp.Status + ": " + lastWords(string(body)), nil
}

// check judges one thing and remembers it if it is wrong.
func (d *demo) check(step string, err error, format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	if err != nil {
		text += ": " + err.Error()
		d.failed = append(d.failed, step+": "+text)
	}
	d.judged(err == nil, "%s", text)
}

// play is the story, up to its last line.
func (d *demo) play(ctx context.Context) error {
	began := time.Now()
	steps := []func(context.Context) error{d.form, d.move, d.cutOff, d.comeBack, d.killSrrd, d.restartSrrd, d.killOspfd, d.restartOspfd}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			if ctx.Err() == nil {
				d.evidence(ctx, began)
			}
			return errors.Join(err, d.closing())
		}
	}
	return d.closing()
}

// closing prints the table, and says how it went.
func (d *demo) closing() error {
	if d.probe == nil {
		return nil
	}
	r := d.probe.Stop()
	d.heading("What the client saw")
	d.said("%d datagrams sent to %s, one a millisecond; %d not answered.", r.Total.Sent, probed, r.Total.Lost)
	if r.MaxGap > busy {
		d.said("(The machine was busy: two of them were %s apart, so the numbers are not exact.)", r.MaxGap.Round(time.Millisecond))
	}
	fmt.Fprintln(d.out)
	for _, row := range d.rows {
		fmt.Fprintln(d.out, row)
	}
	if len(d.failed) > 0 {
		fmt.Fprintln(d.out)
		return fmt.Errorf("not as it should be:\n  %s", strings.Join(d.failed, "\n  "))
	}
	if len(d.rows) == len(limits) {
		fmt.Fprintln(d.out, "demo: ok")
	}
	return nil
}

// howToLook ends a demo whose lab stays up.
func (d *demo) howToLook() {
	srrlab := filepath.Join(d.opt.bin, "srrlab") + " -l " + d.lab.Name()
	shell := strings.Join(d.srrsh("n1"), " ")
	d.heading("The lab stays up. To look around:")
	for _, line := range []string{
		srrlab + " exec n1 -- " + shell,
		srrlab + " exec n1 -- " + shell + ` -c "show events"`,
		srrlab + " exec n1 -- vtysh -c 'show ip ospf neighbor'",
		srrlab + " exec client -- curl -s " + pages,
		srrlab + " probe " + probed.String() + " --for 10s",
		srrlab + " status",
		srrlab + " cut n1          # then: heal n1",
		srrlab + " log n1 srrd",
		srrlab + " down            # removes everything",
	} {
		fmt.Fprintf(d.out, "  %s\n", line)
	}
	fmt.Fprintln(d.out)
	d.pages(srrlab)
}

// webPort is where srrd serves its pages without configuration.
const webPort = 8222

// pages says where the nodes' pages are to be seen.
func (d *demo) pages(srrlab string) {
	fmt.Fprintln(d.out, "The nodes' pages, for root and who called sudo (from afar: ssh -L PORT:127.0.0.1:PORT):")
	for _, node := range nodes {
		at, err := d.lab.Forward(node, webPort, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0))
		if err != nil {
			fmt.Fprintf(d.out, "  %s: %v\n", node, err)
			continue
		}
		fmt.Fprintf(d.out, "  %s  http://%s/\n", node, at)
	}
	fmt.Fprintf(d.out, "  another port: %s forward HOST PORT [LOCALPORT]\n\n", srrlab)
}
