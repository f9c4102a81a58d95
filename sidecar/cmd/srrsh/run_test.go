package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/srrd/srrd/sidecar/internal/machine"
	"github.com/srrd/srrd/sidecar/internal/shell"
	"github.com/srrd/srrd/sidecar/internal/view"
	"github.com/srrd/srrd/sidecar/internal/view/viewtest"
	"github.com/srrd/srrd/vty"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// daemon is srrd as far as the shell sees it.
type daemon struct{ asked chan machine.Command }

func (d *daemon) Read(context.Context) (*view.Snapshot, error) { return viewtest.Snapshot(), nil }

func (d *daemon) Ask(ctx context.Context, c machine.Command) (string, error) {
	if c.Verb == machine.VerbCheck { // one that takes its time
		<-ctx.Done()
		return "", ctx.Err()
	}
	d.asked <- c
	if c.Service == "archive" {
		return "", errors.New("it is disabled on this node")
	}
	return c.Verb.String() + " " + c.Service + ": done", nil
}

func (d *daemon) VTY(_ context.Context, to, command string) (string, error) {
	return to + " was asked " + command + "\n", nil
}

func (d *daemon) Reload(context.Context) (string, error)         { return "nothing changed", nil }
func (d *daemon) Plan(context.Context) (string, error)           { return "nothing would change", nil }
func (d *daemon) Config(context.Context) (string, error)         { return "scope: as\n", nil }
func (d *daemon) Reexec(context.Context, string) (string, error) { return "taken over", nil }

// serveDaemon runs the shell on a socket as srrd does.
func serveDaemon(t *testing.T) (socket string, d *daemon) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "srrd.vty")
	l, err := vty.Listen(socket, 0o600, -1)
	if err != nil {
		t.Fatal(err)
	}
	d = &daemon{asked: make(chan machine.Command, 16)}
	sh := &shell.Shell{Deps: d, Now: func() time.Time { return viewtest.Now }}
	server := &vty.Server{Handler: func(ctx context.Context, r *vty.Request) vty.Status {
		return vty.Status(sh.Exec(ctx, "somebody", r.Command, r))
	}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return socket, d
}

// srrsh runs the program.
func srrsh(t *testing.T, stdin string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(stdin), &o, &e)
	return code, o.String(), e.String()
}

func golden(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../../testdata/page/shell", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOneShotsGiveWhatTheShellGives(t *testing.T) {
	socket, d := serveDaemon(t)
	t.Setenv("COLUMNS", "100")
	t.Run("text is as wide as COLUMNS says", func(t *testing.T) {
		code, out, errs := srrsh(t, "", "--socket", socket, "-c", "show service")
		if code != exitOK || out != golden(t, "show-service.txt") || errs != "" {
			t.Errorf("exit %d, %q\n%s", code, errs, out)
		}
	})
	t.Run("JSON is for programs", func(t *testing.T) {
		code, out, _ := srrsh(t, "", "--socket", socket, "-o", "json", "-c", "show service dns")
		if code != exitOK || out != golden(t, "show-service-dns.json") || !json.Valid([]byte(out)) {
			t.Errorf("exit %d\n%s", code, out)
		}
	})
	t.Run("a question of simulate is answered here", func(t *testing.T) {
		code, out, errs := srrsh(t, "", "--socket", socket, "-c", "simulate node-down n2")
		if code != exitOK || errs != "" || !strings.HasPrefix(out, "What if node-down n2? Nothing was touched; this is simulated.\n") {
			t.Errorf("exit %d, %q\n%s", code, errs, out)
		}
		code, out, _ = srrsh(t, "", "--socket", socket, "-o", "json", "-c", "simulate node-down n2")
		if code != exitOK || !json.Valid([]byte(out)) {
			t.Errorf("exit %d\n%s", code, out)
		}
		if len(d.asked) > 0 {
			t.Error("the daemon was asked for more than the dump")
		}
	})
	t.Run("a question about a node that is not there is refused", func(t *testing.T) {
		code, out, errs := srrsh(t, "", "--socket", socket, "-c", "simulate node-down n77")
		if code != exitCommand || out != "" || !strings.HasPrefix(errs, "% there is no node \"n77\"; there are ") {
			t.Errorf("exit %d, %q, %q", code, out, errs)
		}
	})
	t.Run("several commands run in turn", func(t *testing.T) {
		code, out, _ := srrsh(t, "", "--socket", socket, "-c", "service dns move n2 for 10m", "-c", "ospf show ip ospf")
		if code != exitOK || out != "move dns: done\nospfd was asked show ip ospf\n" {
			t.Errorf("exit %d, %q", code, out)
		}
		if c := <-d.asked; c.Node != "n2" || c.For != 10*time.Minute || c.Who != "somebody" {
			t.Errorf("asked %+v", c)
		}
	})
	t.Run("a refusal ends the turn with 1 and is said on stderr", func(t *testing.T) {
		code, out, errs := srrsh(t, "", "--socket", socket, "-c", "service archive start", "-c", "service dns stop")
		if code != exitCommand || out != "" || errs != "% it is disabled on this node\n" {
			t.Errorf("exit %d, %q, %q", code, out, errs)
		}
		<-d.asked
		if len(d.asked) > 0 {
			t.Error("the second command was sent all the same")
		}
	})
	t.Run("a wrong word is pointed at", func(t *testing.T) {
		code, _, errs := srrsh(t, "", "--socket", socket, "-c", "show servcie")
		if code != exitCommand || errs != "  show servcie\n       ^^^^^^^\n% unknown word \"servcie\"; did you mean \"service\"?\n" {
			t.Errorf("exit %d, %q", code, errs)
		}
	})
	t.Run("a command with a line end in it is refused here", func(t *testing.T) {
		code, _, errs := srrsh(t, "", "--socket", socket, "-c", "show\nservice")
		if code != exitCommand || !strings.Contains(errs, "not a vty command") {
			t.Errorf("exit %d, %q", code, errs)
		}
	})
}

func TestAScriptStopsAtItsFirstError(t *testing.T) {
	socket, d := serveDaemon(t)
	code, out, errs := srrsh(t, "# a comment\n\n! another\nservice dns stop\n  service dns start  \nservice nobody stop\nservice web stop\n", "--socket", socket)
	if code != exitCommand || out != "stop dns: done\nstart dns: done\n" || !strings.HasSuffix(errs, "srrsh: stopped at line 6\n") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	if len(d.asked) != 2 {
		t.Errorf("%d commands were asked for", len(d.asked))
	}
	if code, out, _ := srrsh(t, "service dns stop\nex\nservice dns start\n", "--socket", socket); code != exitOK || out != "stop dns: done\n" {
		t.Errorf("exit ends a script: exit %d, %q", code, out)
	}
}

func TestExitCodes(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "srrd.vty")
	for _, c := range []struct {
		name string
		args []string
		code int
		errs string
	}{
		{"nobody listens", []string{"--socket", gone, "-c", "show service"}, exitUnreachable, "srrsh: cannot reach srrd at " + gone + ": no such file or directory\n"},
		{"an unknown flag", []string{"--colour"}, exitUsage, "srrsh: unknown flag: --colour\nusage: "},
		{"an unknown format", []string{"-o", "xml"}, exitUsage, "srrsh: -o xml: output is json or text\nusage: "},
		{"a stray argument", []string{"show", "service"}, exitUsage, "srrsh: unknown command \"show\" for \"srrsh\"\nusage: "},
		{"help", []string{"--help"}, exitOK, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, errs := srrsh(t, "", c.args...)
			if code != c.code || !strings.HasPrefix(errs, c.errs) {
				t.Errorf("exit %d, want %d; said %q", code, c.code, errs)
			}
		})
	}
}

func TestAnInterruptEndsTheCommand(t *testing.T) {
	socket, _ := serveDaemon(t)
	ctx, cancel := context.WithCancel(t.Context())
	c := &client{socket: socket, out: io.Discard, errs: io.Discard}
	defer c.close()
	if text, code := c.ask(ctx, "service dns unmove"); code != exitOK {
		t.Fatalf("exit %d: %s", code, text)
	}
	type answer struct {
		text string
		code int
	}
	answers := make(chan answer)
	go func() {
		text, code := c.ask(ctx, "service dns check")
		answers <- answer{text, code}
	}()
	cancel()
	if a := <-answers; a.code != exitCommand || a.text != "interrupted; what was asked for may still happen\n" {
		t.Errorf("exit %d, %q", a.code, a.text)
	}
	if text, code := c.ask(t.Context(), "service dns unmove"); code != exitOK || text != "unmove dns: done\n" {
		t.Errorf("the next command: exit %d, %q", code, text)
	}
}

func TestTabAsksTheDaemon(t *testing.T) {
	socket, _ := serveDaemon(t)
	c := &client{socket: socket, out: io.Discard, errs: io.Discard}
	defer c.close()
	for line, want := range map[string]string{
		"service dns move ": "n1 n2 n3 n4", "@": "@n1 @n2 @n3 @n4", " @n2": "@n2", "@n2 service dns mo": "move", "@n2  wh": "why", "@n2 ": strings.Join(c.complete(t.Context(), ""), " "),
	} {
		if got := strings.Join(c.complete(t.Context(), line), " "); got != want {
			t.Errorf("%q goes on with %q, want %q", line, got, want)
		}
	}
	if text, code := c.ask(t.Context(), "@n2 service dns mov?"); code != exitOK || !strings.Contains(text, "run it on a certain node") {
		t.Errorf("a question behind @: exit %d, %q", code, text)
	}
	if host, err := hostName(t.Context(), c); host != "n1" || err != nil {
		t.Errorf("the prompt is for %q, %v", host, err)
	}
	c.close()
	c.socket = filepath.Join(t.TempDir(), "none")
	c.s = nil
	if got := c.complete(t.Context(), "sh"); got != nil {
		t.Errorf("without srrd: %q", got)
	}
	if _, err := hostName(t.Context(), c); !errors.Is(err, errUnreachable) {
		t.Errorf("without srrd: %v", err)
	}
}

func TestThePagerStopsAtEachPage(t *testing.T) {
	text := strings.Repeat("line\n", 10)
	clear := "\r" + strings.Repeat(" ", len(more)) + "\r"
	lines := func(n int) string { return strings.Repeat("line\n", n) }
	for _, c := range []struct {
		name   string
		length int
		keys   string
		want   string
	}{
		{"what fits is not stopped", 11, "", text},
		{"no length, no stop", 0, "", text},
		{"blank gives a page", 5, "  ", lines(4) + more + clear + lines(4) + more + clear + lines(2)},
		{"enter gives a line", 9, "\r ", lines(8) + more + clear + lines(1) + more + clear + lines(1)},
		{"q is enough", 5, "q", lines(4) + more + clear},
		{"a closed terminal is enough", 5, "", lines(4) + more + clear},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			page(&out, strings.NewReader(c.keys), text, c.length)
			if out.String() != c.want {
				t.Errorf("got %q\nwant %q", out.String(), c.want)
			}
		})
	}
}

func TestALineIsCutAtRunes(t *testing.T) {
	if l, r := cutRunes("wäb stop", 2); l != "wä" || r != "b stop" {
		t.Errorf("got %q and %q", l, r)
	}
	if l, r := cutRunes("ab", 9); l != "ab" || r != "" {
		t.Errorf("got %q and %q", l, r)
	}
}
