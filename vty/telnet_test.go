package vty

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
)

// exchangePart is a line expected from the client, and the answer to it.
type exchangePart struct{ expect, answer string }

// startTelnet plays a script on a TCP port: the first answer on connecting,
// the others after their lines. It closes the connection at the end.
func startTelnet(t *testing.T, script []exchangePart) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		c.Write([]byte(script[0].answer))
		for _, p := range script[1:] {
			line, err := readTelnetLine(r)
			if err != nil {
				return
			}
			if line != p.expect {
				t.Errorf("client sent %q, the script expects %q", line, p.expect)
				return
			}
			c.Write([]byte(p.answer))
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// readTelnetLine drops the option negotiation in front of a line: IAC verb
// option, and IAC SB ... IAC SE.
func readTelnetLine(r *bufio.Reader) (string, error) {
	var line []byte
	for {
		b, err := r.ReadByte()
		if err != nil {
			return "", err
		}
		switch {
		case b == '\n':
			return string(line), nil
		case b != 255:
			line = append(line, b)
			continue
		}
		verb, _ := r.ReadByte()
		if verb != 250 {
			r.ReadByte()
			continue
		}
		for last := byte(0); ; {
			b, err := r.ReadByte()
			if err != nil {
				return "", err
			}
			if last == 255 && b == 240 {
				break
			}
			last = b
		}
	}
}

// goldenScript turns a captured session into a script.
func goldenScript(t *testing.T, name string) []exchangePart {
	t.Helper()
	var script []exchangePart
	for _, p := range readParts(t, name) {
		if line, ok := strings.CutPrefix(p.label, "> "); ok {
			script = append(script, exchangePart{line, string(p.bytes)})
		} else if len(p.bytes) > 0 {
			script = append(script, exchangePart{"", string(p.bytes)})
		}
	}
	return script
}

const inGreeting = "\r\nUser Access Verification\r\n\r\n\xff\xfb\x01\xff\xfb\x03\xff\xfe\x22\xff\xfd\x1fPassword: "

// loggedIn is a login followed by more.
func loggedIn(more ...exchangePart) []exchangePart {
	return append([]exchangePart{
		{"", inGreeting},
		{"one", "\r\nvt1> "},
		{"enable", "enable\r\nPassword: "},
		{"two", "\r\nvt1# "},
		{"terminal length 0", "terminal length 0\r\nvt1# "},
	}, more...)
}

func openTelnet(t *testing.T, script []exchangePart) (*Session, error) {
	t.Helper()
	s, err := DialTelnet(t.Context(), OSPF, Telnet{Address: startTelnet(t, script), Password: "one", EnablePassword: "two"})
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}

func TestATelnetSessionAsFRRHeldIt(t *testing.T) {
	s, err := openTelnet(t, goldenScript(t, "telnet-session"))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := s.Exec(t.Context(), "show version"); err != nil || text != readText(t, "show-version.txt") {
		t.Fatalf("%v, text %q", err, text)
	}
	for _, step := range []struct {
		command string
		status  Status
		text    string
	}{
		{"configure terminal", StatusSuccess, ""},
		{"router ospf", StatusSuccess, ""},
		{"network 10.99.0.0/24 area 7", StatusConfigFailed, "There is already same network statement.\n"},
		{"bogus", StatusNoMatch, "% [OSPF] Unknown command: bogus\n"},
		{"ospf router-id 10.255.0.1", StatusSuccess, "For this router-id change to take effect, use \"clear ip ospf process\" command\n"},
		{"end", StatusSuccess, ""},
	} {
		text, err := s.Exec(t.Context(), step.command)
		var status *StatusError
		if text != step.text || step.status.OK() != (err == nil) ||
			err != nil && (!errors.As(err, &status) || status.Status != step.status || !status.Inferred) {
			t.Errorf("%s: %q, %v; want %q, %v", step.command, text, err, step.text, step.status)
		}
	}
}

func TestTelnetConfigureStopsAtAnErrorAndLeaves(t *testing.T) {
	s, err := openTelnet(t, loggedIn(
		exchangePart{"configure terminal", "configure terminal\r\nvt1(config)# "},
		exchangePart{"router ospf", "router ospf\r\nvt1(config-router)# "},
		exchangePart{"no network 192.0.2.0/24 area 0", "no network 192.0.2.0/24 area 0\r\nCan't find specified network area configuration.\r\nvt1(config-router)# "},
		exchangePart{"end", "end\r\nvt1# "},
		exchangePart{"show x", "show x\r\nend in a text without newlinevt1# "},
	))
	if err != nil {
		t.Fatal(err)
	}
	err = s.Configure(t.Context(), "router ospf", "no network 192.0.2.0/24 area 0", "never sent")
	var status *StatusError
	if !errors.As(err, &status) || status.Status != StatusConfigFailed || !strings.HasPrefix(status.Text, "Can't find") {
		t.Fatalf("%v", err)
	}
	if text, err := s.Exec(t.Context(), "show x"); text != "end in a text without newline" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

func TestTelnetLogin(t *testing.T) {
	for name, c := range map[string]struct {
		script []exchangePart
		words  string // of the error; empty for success
	}{
		"password and enable password":               {loggedIn(), ""},
		"a daemon without password closes":           {goldenScript(t, "telnet-no-password"), "Vty password is not set."},
		"the password is wrong":                      {[]exchangePart{{"", inGreeting}, {"one", "\r\nPassword: "}}, "wrong password"},
		"the enable password is wrong":               {append(loggedIn()[:3:3], exchangePart{"two", "\r\nPassword: "}), "wrong enable password"},
		"no enable password is asked":                {[]exchangePart{{"", inGreeting}, {"one", "\r\nvt1> "}, {"enable", "enable\r\nvt1# "}, {"terminal length 0", "terminal length 0\r\nvt1# "}}, ""},
		"nothing is asked, as with `no login`":       {[]exchangePart{{"", "\r\nvt1# "}, {"terminal length 0", "terminal length 0\r\nvt1# "}}, ""},
		"enable is refused in the view node":         {[]exchangePart{{"", "\r\nvt1> "}, {"enable", "enable\r\n% Unknown command: enable\r\nvt1> "}}, "wrong enable password"},
		"the other side closes before it asks":       {[]exchangePart{{"", ""}}, "saying nothing"},
		"something else listens and never asks us":   {[]exchangePart{{"", strings.Repeat("noise\r\n", 20000)}}, "no prompt"},
		"paging cannot be turned off, but it is FRR": {append(loggedIn()[:4:4], exchangePart{"terminal length 0", "terminal length 0\r\n% Unknown command: x\r\nvt1# "}), "unknown command"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := openTelnet(t, c.script)
			if c.words == "" && err != nil || c.words != "" && (err == nil || !strings.Contains(err.Error(), c.words)) {
				t.Fatalf("error %v, want %q", err, c.words)
			}
		})
	}
}

func TestATelnetSessionThatTimesOutIsDeadWithFRRsWords(t *testing.T) {
	s, err := openTelnet(t, loggedIn(exchangePart{"show x", "show x\r\npart of it\r\nVty connection is timed out.\r\n"}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Exec(t.Context(), "show x")
	if !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "Vty connection is timed out.") {
		t.Fatalf("%v", err)
	}
}

func TestATelnetDialHonoursItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody speaks
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		if c, err := l.Accept(); err == nil {
			cancel(cause)
			c.Close()
		}
	}()
	if _, err := DialTelnet(ctx, OSPF, Telnet{Address: l.Addr().String()}); !errors.Is(err, cause) {
		t.Fatalf("%v", err)
	}
}

func TestLongTextsAndPromptsInsideThemPassUnharmed(t *testing.T) {
	long := strings.Repeat("vt1# is not the end\n", 200) + strings.Repeat("x", 9000) + "\n"
	s, err := openTelnet(t, loggedIn(
		exchangePart{"show x", "show x\r\n" + strings.ReplaceAll(long, "\n", "\r\n") + "vt1# "},
		exchangePart{"hostname other", "hostname other\r\nother# "},
		exchangePart{"show y", "show y\r\ny\r\nother# "},
	))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := s.Exec(t.Context(), "show x"); text != long || err != nil {
		t.Fatalf("%d bytes of %d, %v", len(text), len(long), err)
	}
	if _, err := s.Exec(t.Context(), "hostname other"); err != nil {
		t.Fatal(err)
	}
	if text, err := s.Exec(t.Context(), "show y"); text != "y\n" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

func TestKeysOfTheLineEditorAreNotSentOverTelnet(t *testing.T) {
	s, err := openTelnet(t, loggedIn())
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"show ?", "sh\t", "a\x03", "a\x16", "a\xff", "a\x7f", "a\nb"} {
		if _, err := s.Exec(t.Context(), command); !errors.Is(err, ErrCommand) {
			t.Errorf("%q: %v", command, err)
		}
	}
}

func TestStatusesConcludedFromText(t *testing.T) {
	for text, want := range map[string]struct{ exec, config Status }{
		"":                                                 {StatusSuccess, StatusSuccess},
		"% Command incomplete.\n":                          {StatusIncomplete, StatusIncomplete},
		"% Ambiguous command.\n":                           {StatusAmbiguous, StatusAmbiguous},
		"% Unknown command: x\n":                           {StatusNoMatch, StatusNoMatch},
		"% [ZEBRA] Unknown command: x\n":                   {StatusNoMatch, StatusNoMatch},
		"% Network not in table\n":                         {StatusWarning, StatusConfigFailed},
		"% Can't find address\n":                           {StatusWarning, StatusConfigFailed},
		"\n\n% Malformed address\n":                        {StatusWarning, StatusConfigFailed},
		"some table\n% not an error\n":                     {StatusSuccess, StatusConfigFailed},
		"Can't shutdown interface\n":                       {StatusSuccess, StatusConfigFailed},
		"interface eth9 not found.\n":                      {StatusSuccess, StatusConfigFailed},
		"Please remove all network commands\n":             {StatusSuccess, StatusConfigFailed},
		"% Configuration applied with notes: No changes\n": {StatusSuccess, StatusSuccess},
		"For this router-id change to take effect, use \"clear ip ...\"\n": {StatusSuccess, StatusSuccess},
	} {
		if got := inferStatus(text, false); got != want.exec {
			t.Errorf("%q in exec: %v, want %v", text, got, want.exec)
		}
		if got := inferStatus(text, true); got != want.config {
			t.Errorf("%q in configuration: %v, want %v", text, got, want.config)
		}
	}
}

func FuzzTelnetReply(f *testing.F) {
	f.Add("show x\r\ntext\r\nvt1# ")
	f.Add("\xff\xfb\x01show x\r\nvt1(config)# ")
	f.Fuzz(func(t *testing.T, stream string) {
		client, server := net.Pipe()
		defer client.Close()
		w, err := newTelnetWire(client)
		if err != nil {
			t.Fatal(err)
		}
		w.host = "vt1"
		go func() {
			defer server.Close()
			bufio.NewReader(server).ReadString('\n')
			server.Write([]byte(stream))
		}()
		var text boundedText
		text.limit = len(stream)
		if _, err := w.exchange("show x", &text); err == nil && !strings.Contains(stream, "vt1") {
			t.Fatalf("a reply without prompt was taken: %q", stream)
		}
	})
}
