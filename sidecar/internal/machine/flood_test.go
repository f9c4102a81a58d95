package machine

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/srrd/srrd/sidecar/internal/advert"
)

// A field that is said on the wire and forgotten in the comparison would never
// be flooded when it changes.
func TestAChangeOfAnyWordIsSeen(t *testing.T) {
	values := map[reflect.Type]any{
		reflect.TypeFor[[]string]():       []string{"x"},
		reflect.TypeFor[[]netip.Addr]():   []netip.Addr{netip.MustParseAddr("10.99.0.7")},
		reflect.TypeFor[time.Time]():      t0,
		reflect.TypeFor[advert.Stamp]():   advert.Stamp{Generation: 1},
		reflect.TypeFor[advert.Failure](): advert.Failure{Text: "x"},
		reflect.TypeFor[advert.Pin]():     advert.Pin{Left: 1},
		reflect.TypeFor[advert.Hold]():    advert.Hold{On: true},
		reflect.TypeFor[advert.Digest]():  advert.Digest{1},
	}
	for i := range reflect.TypeFor[advert.Service]().NumField() {
		var a, b advert.Service
		f := reflect.ValueOf(&b).Elem().Field(i)
		name := reflect.TypeFor[advert.Service]().Field(i).Name
		switch v, ok := values[f.Type()]; {
		case ok:
			f.Set(reflect.ValueOf(v))
		case f.CanUint():
			f.SetUint(1)
		case f.CanInt():
			f.SetInt(1)
		case f.Kind() == reflect.String:
			f.SetString("x")
		default:
			t.Fatalf("%s: teach this test about %s", name, f.Type())
		}
		if sameWords(&a, &b) {
			t.Errorf("%s differs and is not compared", name)
		}
		if !sameWords(&b, &b) {
			t.Errorf("%s is equal and not found so", name)
		}
	}
}
