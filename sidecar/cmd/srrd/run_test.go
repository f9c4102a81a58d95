package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/srrd/srrd/vty"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// srrd runs the program.
func srrd(args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = run(args, &o, &e)
	return code, o.String(), e.String()
}

// files writes a configuration and returns the path of srrd.yaml.
func files(t *testing.T, texts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range texts {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "srrd.yaml")
}

func TestCheckConfigSaysEverythingThatIsWrong(t *testing.T) {
	path := files(t, map[string]string{
		"srrd.yaml":            "host: n1\nbogus: 1\n",
		"services.d/web.yaml":  "addresses: nowhere\nprefrence: 5\n",
		"services.d/dns.yaml":  "addresses: 10.250.0.2\n",
		"services.d/dns2.yaml": "addresses: 10.250.0.2\n",
	})
	code, out, errs := srrd("--config", path, "--check-config")
	if code != exitConfig || out != "" {
		t.Errorf("exit %d, %q", code, out)
	}
	dir := filepath.Dir(path)
	lines := strings.Split(strings.TrimSpace(errs), "\n")
	for _, want := range []string{"srrd.yaml:2:1: bogus: ", "services.d/web.yaml:1:12: addresses: ", "services.d/web.yaml:2:1: prefrence: ", "services.d/dns2.yaml:1:12: addresses: "} {
		found := false
		for _, l := range lines {
			found = found || strings.HasPrefix(l, filepath.Join(dir, want))
		}
		if !found {
			t.Errorf("no line %q in:\n%s", want, errs)
		}
	}
}

func TestCheckConfigLooksIntoTheDirectoriesOfPrimitives(t *testing.T) {
	path := files(t, map[string]string{
		"srrd.yaml":           "host: n1\n",
		"services.d/web.yaml": "addresses: 10.250.0.1\ndir: DIR/web\n",
		"web/Makefile":        "start:\n\t@true\n",
	})
	code, out, errs := srrd("--config", path, "--check-config")
	if code != exitConfig || out != "" || !strings.HasPrefix(errs, filepath.Join(filepath.Dir(path), "services.d/web.yaml:2:")) || !strings.Contains(errs, "stop") {
		t.Errorf("exit %d, %q, %s", code, out, errs)
	}
}

func TestCheckConfigSaysThatAllIsWell(t *testing.T) {
	path := files(t, map[string]string{"srrd.yaml": "host: n1\n"})
	if code, out, errs := srrd("--config", path, "--check-config"); code != exitOK || out != path+": 0 services, no problem\n" || errs != "" {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
}

func TestAMissingConfigurationStartsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "srrd.yaml")
	if code, _, errs := srrd("--config", path); code != exitConfig || !strings.Contains(errs, path+": ") || !strings.Contains(errs, "no such file") {
		t.Errorf("exit %d, %s", code, errs)
	}
}

func TestACommandLineThatIsNotUnderstoodHasItsOwnExitCode(t *testing.T) {
	for _, args := range [][]string{{"--bogus"}, {"bogus"}, {"doctor", "extra"}, {"plan", "--apply"}, {"--config"}} {
		if code, out, errs := srrd(args...); code != exitUsage || out != "" || !strings.Contains(errs, "(srrd --help lists what there is)") {
			t.Errorf("%v: exit %d, %q, %q", args, code, out, errs)
		}
	}
}

func TestVersionAndHelp(t *testing.T) {
	if code, out, _ := srrd("--version"); code != exitOK || !strings.HasPrefix(out, "srrd version devel") {
		t.Errorf("exit %d, %q", code, out)
	}
	code, out, _ := srrd("--help")
	if code != exitOK {
		t.Errorf("exit %d", code)
	}
	for _, want := range []string{"--check-config", "--config", "doctor", "plan"} {
		if !strings.Contains(out, want) {
			t.Errorf("the help does not name %s:\n%s", want, out)
		}
	}
}

func TestTheDoctorOfADeadFRRRefuses(t *testing.T) {
	path := files(t, map[string]string{"srrd.yaml": "host: n1\nfrr:\n  vty_dir: DIR\n  zserv: DIR/zserv.api\n  ospfapi: 127.0.0.1:1\n"})
	code, out, errs := srrd("--config", path, "doctor")
	if code != exitFindings || !strings.Contains(out, "ospfd does not answer") || errs != "" {
		t.Errorf("exit %d, %q\n%s", code, errs, out)
	}
}

func TestTheDoctorNeedsNoConfigurationButAGoodOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "srrd.yaml")
	code, out, errs := srrd("--config", path, "doctor")
	if code != exitOK && code != exitFindings || out == "" {
		t.Errorf("exit %d, %q", code, out)
	}
	if errs != "srrd: there is no "+path+": FRR is examined for the defaults, as if no service were configured\n" {
		t.Errorf("says %q", errs)
	}
	path = files(t, map[string]string{"srrd.yaml": "bogus: 1\n"})
	if code, _, errs := srrd("--config", path, "doctor"); code != exitConfig || !strings.Contains(errs, "srrd.yaml:1:1: bogus: ") {
		t.Errorf("a bad configuration: exit %d, %s", code, errs)
	}
}

func TestPlanAsksTheRunningSrrd(t *testing.T) {
	path := files(t, map[string]string{"srrd.yaml": "host: n1\nrun_dir: DIR\n"})
	socket := filepath.Join(filepath.Dir(path), "srrd.vty")
	if code, _, errs := srrd("--config", path, "plan"); code != exitError || !strings.Contains(errs, "asking the running srrd at "+socket+" (does it run?): ") {
		t.Errorf("nobody runs: exit %d, %s", code, errs)
	}
	l, err := vty.Listen(socket, 0o600, -1)
	if err != nil {
		t.Fatal(err)
	}
	status, answer := vty.StatusSuccess, "service web: new\n"
	server := &vty.Server{Handler: func(_ context.Context, r *vty.Request) vty.Status {
		if r.Command != "plan" {
			answer = "% unknown\n"
		}
		if _, err := r.Write([]byte(answer)); err != nil {
			return vty.StatusWarning
		}
		return status
	}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	if code, out, errs := srrd("--config", path, "plan"); code != exitOK || out != "service web: new\n" || errs != "" {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	status, answer = vty.StatusWarning, "% web.yaml:1:1: bogus: unknown key\nweb.yaml:2:1: more: unknown key\n"
	const want = "srrd: the configuration cannot be loaded:\nweb.yaml:1:1: bogus: unknown key\nweb.yaml:2:1: more: unknown key\n"
	if code, out, errs := srrd("--config", path, "plan"); code != exitError || out != "" || errs != want {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAKeyIsMadeForTheFileOfKeys(t *testing.T) {
	code, one, errs := srrd("key", "1")
	_, two, _ := srrd("key", "2")
	if code != exitOK || errs != "" || one[2:] == two[2:] {
		t.Fatalf("exit %d, %q", code, errs)
	}
	path := files(t, map[string]string{"srrd.yaml": "host: n1\nauthentication:\n  keys: keys\n  send: 2\n", "keys": one + two})
	if err := os.Chmod(filepath.Join(filepath.Dir(path), "keys"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := srrd("--config", path, "--check-config"); code != exitOK {
		t.Errorf("its own keys are not taken: %s", errs)
	}
	for _, args := range [][]string{{"key"}, {"key", "0"}, {"key", "one"}, {"key", "1", "2"}} {
		if code, out, errs := srrd(args...); code != exitUsage || out != "" || errs == "" {
			t.Errorf("%q: exit %d, %q %q", args, code, out, errs)
		}
	}
}
