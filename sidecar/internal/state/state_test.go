package state

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/srrd/srrd/sidecar/internal/advert"
	"github.com/srrd/srrd/sidecar/internal/machine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fill gives every exported field below v a value that is not its zero, so
// that a field added to machine.Memory and forgotten here is noticed.
func fill(t testing.TB, v reflect.Value, n *uint64) {
	*n++
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(*n%100 + 1)
	case reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(*n + 1)
	case reflect.String:
		v.SetString("s" + string(rune('a'+*n%26)))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if v.Type().Elem().Kind() != reflect.Bool { // a false behind a pointer says something
			fill(t, v.Elem(), n)
		}
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(t, key, n)
			fill(t, value, n)
			m.SetMapIndex(key, value)
		}
		v.Set(m)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1e9+int64(*n), 7).UTC()))
			return
		}
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	default:
		t.Fatalf("%s in machine.Memory: teach this test and the package about it", v.Type())
	}
}

func full(t testing.TB) machine.Memory {
	t.Helper()
	var m machine.Memory
	n := uint64(0)
	fill(t, reflect.ValueOf(&m).Elem(), &n)
	return m
}

func TestEveryFieldComesBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	want := full(t)
	for range 2 { // the second replaces the first
		if err := Save(dir, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("files left: %v %v", left, err)
	}
}

func TestANodeThatNeverRanHasTheZeroMemoryAndNoWarning(t *testing.T) {
	m, err := Load(filepath.Join(t.TempDir(), "none"))
	if err != nil || !reflect.DeepEqual(m, machine.Memory{}) {
		t.Errorf("%+v %v", m, err)
	}
}

func TestADamagedFileIsSetAsideAndReported(t *testing.T) {
	good, err := encode(machine.Memory{Incarnation: 1234567, Node: advert.Standby})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":           "",
		"binary":          "\x00\x01\xff",
		"half":            string(good[:len(good)/2]),
		"a digit changed": strings.Replace(string(good), "1234567", "1234568", 1),
		"a later version": strings.Replace(string(good), `"version": 1`, `"version": 2`, 1),
		"no memory":       `{"version":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, File)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			m, err := Load(dir)
			if err == nil || !reflect.DeepEqual(m, machine.Memory{}) {
				t.Fatalf("%+v %v", m, err)
			}
			aside, globErr := filepath.Glob(path + ".damaged-*")
			if globErr != nil || len(aside) != 1 || !strings.Contains(err.Error(), aside[0]) {
				t.Fatalf("set aside %v, error %v", aside, err)
			}
			if kept, err := os.ReadFile(aside[0]); err != nil || string(kept) != text {
				t.Errorf("kept %q, %v", kept, err)
			}
			if _, err := Load(dir); err != nil {
				t.Errorf("the second time: %v", err)
			}
		})
	}
}

func TestEveryTruncationAndEveryFlippedBitIsNoticed(t *testing.T) {
	want := full(t)
	good, err := encode(want)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(good) - 1 { // without its last line end the file is whole
		if _, err := decode(good[:n]); err == nil {
			t.Errorf("cut to %d of %d bytes: not noticed", n, len(good))
		}
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 1 << (i % 8)
		if m, err := decode(bad); err == nil && !reflect.DeepEqual(m, want) {
			t.Errorf("byte %d flipped: gives another memory", i)
		}
	}
}

func TestSaveSaysWhatIsInItsWay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Save(file, machine.Memory{}); err == nil || !strings.HasPrefix(err.Error(), "state: ") {
		t.Errorf("%v", err)
	}
}

func TestAWriterKeepsOnlyTheLatestAndWritesItAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	var reports []error
	w := NewWriter(dir, func(err error) { reports = append(reports, err) })
	for i := range uint64(1000) {
		w.Save(machine.Memory{Incarnation: i})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
	m, err := Load(dir)
	if err != nil || m.Incarnation != 999 || len(reports) != 1 || reports[0] != nil {
		t.Errorf("%+v %v, reports %v", m, err, reports)
	}
}

// A writer that is given more whenever it is ready rests ten times as long as it
// writes.
func TestAWriterRests(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		const took = 15 * time.Millisecond
		w := NewWriter(dir, func(error) { time.Sleep(took) }) // of a bubble
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		began := time.Now()
		for i := range uint64(4) {
			<-w.Ready()
			w.Save(machine.Memory{Incarnation: i})
		}
		if passed := time.Since(began); passed != 3*11*took {
			t.Errorf("the fourth was asked for after %s, want %s", passed, 3*11*took)
		}
		written := make(chan error, 1)
		go func() { written <- w.Flush(ctx) }()
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
	if m, err := Load(dir); err != nil || m.Incarnation != 3 {
		t.Errorf("%+v %v", m, err)
	}
}

func TestAWriterTriesAgainWithTheLatest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // in the way
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		reports := make(chan error, 100)
		w := NewWriter(dir, func(err error) { reports <- err })
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		w.Save(machine.Memory{Incarnation: 1})
		if err := <-reports; err == nil {
			t.Fatal("saved into a file")
		}
		if err := <-reports; err == nil { // after retryEvery
			t.Fatal("saved into a file")
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		w.Save(machine.Memory{Incarnation: 2})
		for err := errors.New("not yet"); err != nil; err = <-reports {
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
	if m, err := Load(dir); err != nil || m.Incarnation != 2 {
		t.Errorf("%+v %v", m, err)
	}
}

// FuzzDecode reads what may be any file, and any memory in a file whose checksum
// fits, with which the heart then begins.
func FuzzDecode(f *testing.F) {
	for _, m := range []machine.Memory{{Incarnation: 7}, full(f)} {
		good, err := encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(good)
		inner, err := json.Marshal(toDisk(m))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(inner)
	}
	f.Add([]byte("{}"))
	f.Add([]byte(`{"node":250,"slots":{"\u0000":{"id":65535,"next":255,"used":{"255":"9999-12-31T23:59:59Z"}}},"services":{"":{"counter":4294967295}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var inner bytes.Buffer
		if json.Compact(&inner, b) == nil {
			sealed, err := json.Marshal(envelope{version, sum(inner.Bytes()), inner.Bytes()})
			if err != nil {
				t.Fatal(err)
			}
			stable(t, sealed)
		}
		stable(t, b)
	})
}

func stable(t *testing.T, b []byte) {
	t.Helper()
	m, err := decode(b)
	if err != nil {
		return
	}
	again, err := encode(m)
	if err != nil {
		t.Fatal(err)
	}
	back, err := decode(again)
	if err != nil || !cmp.Equal(m, back, cmpopts.EquateEmpty()) {
		t.Fatalf("%v\n%s", err, cmp.Diff(m, back))
	}
	n := machine.New(m, nil)
	n.Step(time.Unix(1e9, 0), machine.Configured{Config: machine.Config{Host: "n1", Services: []machine.Service{{Name: "web", Enabled: true}}}})
	n.Step(time.Unix(1e9, 1), machine.OSPFUp{Router: 1})
}
