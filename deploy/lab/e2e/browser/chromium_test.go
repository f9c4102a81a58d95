package browser

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/srrd/srrd/deploy/lab"
)

// artifacts is not in git; CI keeps it.
const artifacts = "../../../../artifacts"

// axe-core is asked for by version and known by its content.
const (
	axeVersion = "4.14.1"
	axeSHA256  = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"
)

// axeCore gives the text of axe.min.js. The archive is brought once.
func axeCore(ctx context.Context) (string, error) {
	if err := os.MkdirAll(artifacts, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(artifacts, "axe-core-"+axeVersion+".tgz")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		cmd := exec.CommandContext(ctx, "npm", "pack", "--silent", "axe-core@"+axeVersion)
		cmd.Dir = artifacts
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("axe-core could not be had: npm pack: %w: %s", err, out)
		}
	}
	packed, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if sum := sha256.Sum256(packed); hex.EncodeToString(sum[:]) != axeSHA256 {
		return "", fmt.Errorf("%s is not what it was when this test was written: SHA-256 %x", path, sum)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err != nil {
			return "", fmt.Errorf("%s: axe.min.js: %w", path, err)
		}
		if h.Name == "package/axe.min.js" {
			text, err := io.ReadAll(t)
			return string(text), err
		}
	}
}

// patience is how long a page may take for one thing: the cluster needs seconds
// at most, but not on a machine whose processors are taken by others.
const patience = time.Minute

// browser is one window. What a page complains of on its console, the Content
// Security Policy included, fails the test.
type browser struct {
	t    *testing.T
	ctx  context.Context
	lab  *lab.Lab
	home string // the node's pages, without a slash at the end
	axe  string

	mu       sync.Mutex // guards the rest
	console  []string
	pictures int
}

func open(t *testing.T, l *lab.Lab, axe string) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("this test needs a browser: %v (Debian: apt install chromium)", err)
	}
	// Without the defaults of chromedp; it adds what it needs to steer.
	alloc, cancel := chromedp.NewExecAllocator(t.Context(),
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("no-proxy-server", true),
		chromedp.WindowSize(1280, 900))
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx, lab: l, axe: axe}
	// The first one starts the browser, which lives as long as its context.
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	if _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	if _, err := chromedp.Call(ctx, runtime.Enable, cdp.Empty{}); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	return b
}

// hear keeps what the page complains of.
func (b *browser) hear(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		b.console = append(b.console, ev.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError {
			b.console = append(b.console, fmt.Sprintf("%s (%s)", ev.Entry.Text, ev.Entry.URL))
		}
	}
}

// do gives the browser something to do, with a deadline.
func do[T any](b *browser, what string, f func(context.Context) (T, error)) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := f(ctx)
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
	return v
}

// eval asks the page.
func eval[T any](b *browser, js string) T {
	b.t.Helper()
	return do(b, js, func(ctx context.Context) (T, error) {
		return chromedp.Run(ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	})
}

// visit goes to a page, which is to answer with status.
func (b *browser) visit(path string, status int64) {
	b.t.Helper()
	answer := do(b, path, func(ctx context.Context) (*network.Response, error) {
		return chromedp.RunResponse(ctx, chromedp.Navigate(b.home+path))
	})
	if answer.Status != status {
		b.t.Errorf("%s: status %d, want %d", path, answer.Status, status)
	}
}

// press clicks what leads to another page, and waits for it.
func (b *browser) press(selector string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	// By script: the part of the page may be exchanged between looking and pressing.
	js := fmt.Sprintf(`(() => { const e = document.querySelector(%s); if (!e) throw new Error("not there"); if (e.disabled) throw new Error("disabled"); e.click() })()`, quoted(selector))
	answer, err := chromedp.RunResponse(ctx, chromedp.Evaluate[chromedp.Void](js))
	if err != nil {
		b.t.Fatalf("pressing %s: %v; the page says:\n%s", selector, err, b.text("main"))
	}
	if answer.Status >= 400 {
		b.t.Fatalf("pressing %s: status %d:\n%s", selector, answer.Status, b.text("main"))
	}
}

// enter types into a field.
func (b *browser) enter(selector, text string) {
	b.t.Helper()
	do(b, "entering into "+selector, func(ctx context.Context) (chromedp.Void, error) {
		return chromedp.Run(ctx, chromedp.SetValue(selector, text))
	})
}

// text is what a person reads there; "" if it is not there.
func (b *browser) text(selector string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf(`document.querySelector(%s)?.textContent ?? ""`, quoted(selector)))
}

// sees waits until a part of the page, which nobody loads again, has the words.
func (b *browser) sees(selector string, want *regexp.Regexp) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	err := b.lab.Wait(ctx, func() error {
		if got := b.text(selector); !want.MatchString(got) {
			return fmt.Errorf("%s does not show %q:\n%s", selector, want, strings.Join(strings.Fields(got), " "))
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// gone waits until a part of the page has the words no more.
func (b *browser) gone(selector string, unwanted *regexp.Regexp) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	err := b.lab.Wait(ctx, func() error {
		if got := b.text(selector); got == "" || unwanted.MatchString(got) {
			return fmt.Errorf("%s still shows %q:\n%s", selector, unwanted, strings.Join(strings.Fields(got), " "))
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// await waits until an expression of the page is true.
func (b *browser) await(what, js string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	err := b.lab.Wait(ctx, func() error {
		if !eval[bool](b, js) {
			return errors.New(what + ": not yet")
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// srrsh runs a command on a node, which has to succeed.
func (b *browser) srrsh(node, command string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v := b.lab.Vars(node)
	if _, err := b.lab.Exec(ctx, node, v.Srrsh, "--socket", v.SrrdSocket, "-c", command); err != nil {
		b.t.Fatal(err)
	}
}

// picture keeps the window as it is, and judges nothing.
func (b *browser) picture(name string) {
	b.t.Helper()
	b.pictures++
	png := do(b, name, func(ctx context.Context) ([]byte, error) { return chromedp.Run(ctx, chromedp.CaptureScreenshot()) })
	if err := os.WriteFile(filepath.Join(artifacts, "web", fmt.Sprintf("%02d-%s.png", b.pictures, name)), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// forget lets go of what the console has complained of so far.
func (b *browser) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.console = nil
}

func quoted(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always can be
	}
	return string(text)
}

// The widths a page is looked at: a screen's and a telephone's, in pixels.
var widths = []int64{1280, 390}

// judge keeps pictures of the page and holds it against WCAG A and AA, light
// and dark, wide and (in light) narrow. mayComplain is for a page that is an error itself.
func (b *browser) judge(name string, mayComplain bool) {
	b.t.Helper()
	b.pictures++
	defer do(b, name, func(ctx context.Context) (chromedp.Void, error) {
		return chromedp.Run(ctx, chromedp.EmulateViewport(widths[0], 900))
	})
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range slices.Backward(widths) {
			if scheme == "dark" && width != widths[0] {
				continue // the layout is the same
			}
			png := do(b, name, func(ctx context.Context) ([]byte, error) {
				if _, err := chromedp.Run(ctx, chromedp.EmulateViewport(width, 900)); err != nil {
					return nil, err
				}
				if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}); err != nil {
					return nil, err
				}
				return chromedp.Run(ctx, chromedp.FullScreenshot(100))
			})
			path := filepath.Join(artifacts, "web", fmt.Sprintf("%02d-%s-%s-%d.png", b.pictures, name, scheme, width))
			if err := os.WriteFile(path, png, 0o644); err != nil {
				b.t.Fatal(err)
			}
			// What is wider than the window scrolls by itself, never the page.
			if over := eval[int64](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
				b.t.Errorf("%s is %d pixels wider than a window of %d", name, over, width)
			}
		}
		if !eval[bool](b, `typeof axe === "object"`) {
			do(b, "axe-core", func(ctx context.Context) (chromedp.Void, error) {
				return chromedp.Run(ctx, chromedp.Evaluate[chromedp.Void](b.axe))
			})
		}
		found := eval[[]string](b, `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], resultTypes: ["violations"]}).then(r => r.violations.flatMap(v => v.nodes.map(n => v.id + ": " + n.target.join(" ") + ": " + n.failureSummary.replace(/\s+/g, " "))))`)
		for _, f := range found {
			b.t.Errorf("%s, %s: %s", name, scheme, f)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !mayComplain {
		for _, c := range b.console {
			b.t.Errorf("%s: the browser complains: %s", name, c)
		}
	}
	b.console = nil
}
