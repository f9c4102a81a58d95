package handover

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"
	"unsafe"
)

// format is raised when the octets change their meaning.
const format = 1

const magic = "srrd hand-over"

// Codec knows the types that need more than their structure. Tell it all of
// them before its first use; it is not safe for concurrent use.
type Codec struct {
	words   map[reflect.Type][]string
	fixed   map[reflect.Type]bool
	skipped map[reflect.Type][]string
	names   map[string]reflect.Type // of what stands in interfaces
	byType  map[reflect.Type]string
	plans   map[reflect.Type]*plan
}

// New makes a codec that knows nothing but Go's own types.
func New() *Codec {
	return &Codec{words: map[reflect.Type][]string{}, fixed: map[reflect.Type]bool{}, skipped: map[reflect.Type][]string{},
		names: map[string]reflect.Type{}, byType: map[reflect.Type]string{}, plans: map[reflect.Type]*plan{}}
}

// Words gives the words of an enumeration: of is any value of it, words[i] is
// that of the number i. An empty word is no value.
func (c *Codec) Words(of any, words ...string) { c.words[reflect.TypeOf(of)] = words }

// Fixed lists types whose numbers mean the same in every build.
func (c *Codec) Fixed(of ...any) {
	for _, v := range of {
		c.fixed[reflect.TypeOf(v)] = true
	}
}

// Skip names fields of a struct that are not carried.
func (c *Codec) Skip(of any, fields ...string) {
	c.skipped[reflect.TypeOf(of)] = append(c.skipped[reflect.TypeOf(of)], fields...)
}

// Name lists values whose types may stand in an interface; they go by the name
// of their type.
func (c *Codec) Name(of ...any) {
	for _, v := range of {
		t := reflect.TypeOf(v)
		c.names[t.String()], c.byType[t] = t, t.String()
	}
}

// class is how a type is written.
type class uint8

const (
	asBool class = iota
	asInt
	asUint
	asFloat
	asString
	asBytes
	asSlice
	asArray
	asMap
	asPointer
	asStruct
	asTime
	asBinary // encoding.BinaryMarshaler
	asWord
	asInterface
	asError
)

// plan is a type taken apart.
type plan struct {
	typ       reflect.Type
	class     class
	key, elem *plan
	fields    []field
	words     []string
	numbers   map[string]int
}

type field struct {
	name  string
	index int
	plan  *plan
}

var (
	timeType   = reflect.TypeFor[time.Time]()
	errorType  = reflect.TypeFor[error]()
	netipTypes = []reflect.Type{reflect.TypeFor[netip.Addr](), reflect.TypeFor[netip.AddrPort](), reflect.TypeFor[netip.Prefix]()}
)

// planOf takes a type apart, once.
func (c *Codec) planOf(t reflect.Type) (*plan, error) {
	if p := c.plans[t]; p != nil {
		return p, nil
	}
	p := &plan{typ: t}
	c.plans[t] = p // before its parts: types are recursive
	if err := c.take(p); err != nil {
		delete(c.plans, t)
		return nil, err
	}
	return p, nil
}

func (c *Codec) take(p *plan) (err error) {
	t := p.typ
	named := t.PkgPath() != ""
	switch {
	case t == timeType:
		p.class = asTime
		return nil
	case slices.Contains(netipTypes, t):
		p.class = asBinary
		return nil
	case t == errorType:
		p.class = asError
		return nil
	case c.words[t] != nil:
		p.class, p.words, p.numbers = asWord, c.words[t], map[string]int{}
		for i, w := range p.words {
			if _, twice := p.numbers[w]; twice && w != "" {
				return fmt.Errorf("%s has the word %q twice", t, w)
			}
			p.numbers[w] = i
		}
		return nil
	}
	switch t.Kind() {
	case reflect.Bool:
		p.class = asBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		p.class = asInt
		if named && t != reflect.TypeFor[time.Duration]() && !c.fixed[t] {
			return fmt.Errorf("%s is neither an enumeration with words nor fixed", t)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		p.class = asUint
		if named && !c.fixed[t] {
			return fmt.Errorf("%s is neither an enumeration with words nor fixed", t)
		}
	case reflect.Float64:
		p.class = asFloat
	case reflect.String:
		p.class = asString
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 && t.Elem().PkgPath() == "" {
			p.class = asBytes
			return nil
		}
		p.class = asSlice
		p.elem, err = c.planOf(t.Elem())
	case reflect.Array:
		p.class = asArray
		p.elem, err = c.planOf(t.Elem())
	case reflect.Map:
		p.class = asMap
		if p.key, err = c.planOf(t.Key()); err == nil {
			p.elem, err = c.planOf(t.Elem())
		}
	case reflect.Pointer:
		p.class = asPointer
		p.elem, err = c.planOf(t.Elem())
	case reflect.Interface:
		p.class = asInterface
	case reflect.Struct:
		p.class = asStruct
		for i := range t.NumField() {
			f := t.Field(i)
			if slices.Contains(c.skipped[t], f.Name) || f.Type.Kind() == reflect.Func {
				continue
			}
			part, err := c.planOf(f.Type)
			if err != nil {
				return fmt.Errorf("%s.%s: %w", t, f.Name, err)
			}
			p.fields = append(p.fields, field{f.Name, i, part})
		}
	default:
		return fmt.Errorf("%s cannot be carried", t)
	}
	if err != nil {
		return err
	}
	return nil
}

// shape is what a field's type is called, the same in builds that can read
// each other. The length of an array may differ: it grows with an enumeration.
func shape(t reflect.Type) string {
	switch {
	case t.PkgPath() != "" || t.Kind() == reflect.Interface:
		return t.String()
	case t.Kind() == reflect.Slice:
		return "[]" + shape(t.Elem())
	case t.Kind() == reflect.Array:
		return "[.]" + shape(t.Elem())
	case t.Kind() == reflect.Map:
		return "map[" + shape(t.Key()) + "]" + shape(t.Elem())
	case t.Kind() == reflect.Pointer:
		return "*" + shape(t.Elem())
	case t.Kind() == reflect.Struct:
		var fields []string
		for i := range t.NumField() {
			fields = append(fields, t.Field(i).Name+" "+shape(t.Field(i).Type))
		}
		return "struct{" + strings.Join(fields, ";") + "}"
	}
	return t.String()
}

// Check finds out whether a type can be carried at all, with everything below
// it; for a test of whoever registers types.
func (c *Codec) Check(of ...any) error {
	var all []error
	for _, v := range of {
		_, err := c.planOf(reflect.TypeOf(v))
		all = append(all, err)
	}
	return errors.Join(all...)
}

// open gives a field that may be read and set though it is unexported. v must
// be addressable.
func open(v reflect.Value, index int) reflect.Value {
	f := v.Field(index)
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
}
