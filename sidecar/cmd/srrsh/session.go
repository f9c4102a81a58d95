package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/peterh/liner"
	"github.com/srrd/srrd/sidecar/internal/shell"
)

// assistTimeout bounds what happens between two keys.
const assistTimeout = 2 * time.Second

// session reads commands from a terminal until exit or Ctrl-D.
func session(ctx context.Context, c *client) error {
	host, err := hostName(ctx, c)
	if err != nil {
		fmt.Fprintf(c.errs, "srrsh: %v\n", err)
		return exitError(exitUnreachable)
	}
	edit := liner.NewLiner()
	defer edit.Close()
	edit.SetCtrlCAborts(true)
	edit.SetTabCompletionStyle(liner.TabPrints)
	edit.SetWordCompleter(func(line string, pos int) (string, []string, string) {
		left, tail := cutRunes(line, pos)
		at := strings.LastIndexAny(left, " \t") + 1
		ctx, cancel := context.WithTimeout(ctx, assistTimeout)
		defer cancel()
		words := c.complete(ctx, left)
		if len(words) == 1 && !strings.HasPrefix(tail, " ") {
			words[0] += " "
		}
		return left[:at], words, tail
	})
	history := historyFile()
	loadHistory(edit, history)
	defer saveHistory(edit, history)

	length := -1 // lines to a page; negative: as the terminal has
	offer := ""  // what stands on the line before a key is pressed
	for {
		line, err := prompt(ctx, edit, host+"# ", offer)
		offer = ""
		switch {
		case errors.Is(err, liner.ErrPromptAborted):
			continue
		case ctx.Err() != nil:
			return exitError(exitCommand)
		case errors.Is(err, io.EOF):
			fmt.Fprintln(c.out)
			return nil
		case err != nil:
			fmt.Fprintf(c.errs, "srrsh: %v\n", err)
			return exitError(exitCommand)
		case strings.TrimSpace(line) == "":
			continue
		}
		// The editor has no hook for a single key, so ? works with Enter: the
		// line is explained, and offered again without the question.
		if question, ok := strings.CutSuffix(strings.TrimRight(line, " \t"), "?"); ok {
			offer = question
		} else {
			edit.AppendHistory(line)
		}
		switch cmd, n := shell.ClientCommand(line); cmd {
		case shell.ClientExit:
			return nil
		case shell.ClientLength:
			length = n
			continue
		case shell.ClientWatch:
			c.watch(ctx, line, os.Stdin)
			continue
		case shell.ClientNone:
		}
		c.width = width(c.out)
		interruptible(ctx, func(ctx context.Context) {
			text, _ := c.ask(ctx, line)
			page(c.out, keyReader{os.Stdin}, text, pageLength(c.out, length))
		})
		if ctx.Err() != nil {
			return exitError(exitCommand)
		}
	}
}

// prompt reads a line, or ends with its context. The editor cannot be called
// off: it goes on waiting for a key until the program ends, which the end of
// ctx is about to bring.
func prompt(ctx context.Context, edit *liner.State, prompt, offer string) (string, error) {
	type typed struct {
		line string
		err  error
	}
	lines := make(chan typed, 1)
	go func() {
		line, err := edit.PromptWithSuggestion(prompt, offer, -1)
		lines <- typed{line, err}
	}()
	select {
	case t := <-lines:
		return t.line, t.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// interruptible runs one command; Ctrl-C ends it alone.
func interruptible(ctx context.Context, do func(context.Context)) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	do(ctx)
}

// hostName asks srrd what its node is called, for the prompt.
func hostName(ctx context.Context, c *client) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, assistTimeout)
	defer cancel()
	text, err := c.exec(ctx, "-o json show version")
	if err != nil && errors.Is(err, errUnreachable) {
		return "", err
	}
	var v struct {
		Host string `json:"host"`
	}
	if json.Unmarshal([]byte(text), &v) != nil || v.Host == "" {
		return "srrd", nil // it answers; that it cannot tell its name shows in what follows
	}
	return v.Host, nil
}

// cutRunes cuts a line at a position counted in runes.
func cutRunes(line string, pos int) (left, right string) {
	r := []rune(line)
	pos = max(0, min(pos, len(r)))
	return string(r[:pos]), string(r[pos:])
}

// historyFile is where lines are remembered; "" where there is no home.
func historyFile() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".srrsh_history")
}

// loadHistory and saveHistory are a convenience: a file that cannot be read or
// written must not keep anybody from a node at 3 a.m.
func loadHistory(edit *liner.State, path string) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	edit.ReadHistory(f)
}

func saveHistory(edit *liner.State, path string) {
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	edit.WriteHistory(f)
}
