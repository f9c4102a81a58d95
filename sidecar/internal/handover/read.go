package handover

import (
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"
)

var errShort = errors.New("it ends in the middle")

// Decode reads into what v points to, and wants b to end there. base is the
// moment that was Append's, as the reader's clocks have it. On error v is in no
// state to be used.
func (c *Codec) Decode(b []byte, base time.Time, v any) error {
	root := reflect.ValueOf(v)
	if root.Kind() != reflect.Pointer || root.IsNil() {
		return fmt.Errorf("hand-over of %T: not a pointer to something", v)
	}
	p, err := c.planOf(root.Type().Elem())
	if err != nil {
		return fmt.Errorf("hand-over of %T: %w", v, err)
	}
	r := &reader{codec: c, base: base, b: b, schema: map[string][]named{}, maps: map[*plan]matched{}}
	r.header()
	r.value(p, root.Elem())
	for at := 0; at < len(r.objects) && r.err == nil; at++ {
		r.value(r.objects[at].plan, r.objects[at].value)
	}
	if r.err == nil && len(r.b) > 0 {
		r.fail(fmt.Errorf("%d octets are left over", len(r.b)))
	}
	if r.err != nil {
		return fmt.Errorf("hand-over of %T: %w", v, r.err)
	}
	return nil
}

type reader struct {
	codec   *Codec
	base    time.Time
	b       []byte
	schema  map[string][]named
	maps    map[*plan]matched
	objects []queued
	err     error
}

// matched are our fields of a struct: those told, in the writer's order, and
// the maps it did not have.
type matched struct{ told, lacking []field }

// named is a field as the writer had it.
type named struct{ name, shape string }

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
		r.b = nil
	}
}

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) int() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[size:]
	return n
}

// count reads a number of things of which each takes an octet at least.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.b))+1 {
		r.fail(errShort)
		return 0
	}
	return int(n)
}

func (r *reader) octets(n int) []byte {
	if n > len(r.b) {
		r.fail(errShort)
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) string() string { return string(r.octets(r.count())) }

func (r *reader) header() {
	if string(r.octets(min(len(magic), len(r.b)))) != magic {
		r.fail(errors.New("it does not begin as one"))
		return
	}
	if f := r.uint(); f != format && r.err == nil {
		r.fail(fmt.Errorf("its format is %d, this build reads %d", f, format))
		return
	}
	for range r.count() {
		name := r.string()
		fields := []named{}
		for range r.count() {
			fields = append(fields, named{r.string(), r.string()})
		}
		r.schema[name] = fields
	}
}

// fieldsOf finds our fields for the writer's.
func (r *reader) fieldsOf(p *plan) matched {
	if m, known := r.maps[p]; known {
		return m
	}
	told, ok := r.schema[p.typ.String()]
	if !ok {
		r.fail(fmt.Errorf("it says nothing of the fields of %s", p.typ))
		return matched{}
	}
	var m matched
	has := map[string]bool{}
	for _, t := range told {
		i := slices.IndexFunc(p.fields, func(f field) bool { return f.name == t.name })
		if i < 0 {
			r.fail(fmt.Errorf("it has %s.%s, which this build does not know", p.typ, t.name))
			return matched{}
		}
		f := p.fields[i]
		if s := shape(f.plan.typ); s != t.shape {
			r.fail(fmt.Errorf("%s.%s is %s there and %s in this build", p.typ, t.name, t.shape, s))
			return matched{}
		}
		m.told, has[t.name] = append(m.told, f), true
	}
	for _, f := range p.fields {
		if f.plan.class == asMap && !has[f.name] {
			m.lacking = append(m.lacking, f)
		}
	}
	r.maps[p] = m
	return m
}

// value reads one value into v, which can be set.
func (r *reader) value(p *plan, v reflect.Value) {
	if r.err != nil {
		return
	}
	switch p.class {
	case asBool:
		switch n := r.uint(); n {
		case 0, 1:
			v.SetBool(n == 1)
		default:
			r.fail(fmt.Errorf("%d is no truth", n))
		}
	case asInt:
		n := r.int()
		if v.OverflowInt(n) {
			r.fail(fmt.Errorf("%d is no %s", n, p.typ))
			return
		}
		v.SetInt(n)
	case asUint:
		n := r.uint()
		if v.OverflowUint(n) {
			r.fail(fmt.Errorf("%d is no %s", n, p.typ))
			return
		}
		v.SetUint(n)
	case asFloat:
		v.SetFloat(math.Float64frombits(r.uint()))
	case asString:
		v.SetString(r.string())
	case asBytes:
		n := r.count()
		if n == 0 {
			v.SetZero()
			return
		}
		v.SetBytes(append([]byte{}, r.octets(n-1)...))
	case asSlice:
		n := r.count()
		if n == 0 {
			v.SetZero()
			return
		}
		v.Set(reflect.MakeSlice(p.typ, n-1, n-1))
		for i := range n - 1 {
			r.value(p.elem, v.Index(i))
		}
	case asArray:
		r.array(p, v)
	case asMap:
		r.mapping(p, v)
	case asPointer:
		r.pointer(p, v)
	case asStruct:
		has := r.fieldsOf(p)
		for _, f := range has.told {
			r.value(f.plan, open(v, f.index))
		}
		for _, f := range has.lacking {
			if m := open(v, f.index); m.IsNil() {
				m.Set(reflect.MakeMap(f.plan.typ))
			}
		}
	case asTime:
		v.Set(reflect.ValueOf(r.time()))
	case asBinary:
		if err := v.Addr().Interface().(encoding.BinaryUnmarshaler).UnmarshalBinary(r.octets(r.count())); err != nil {
			r.fail(fmt.Errorf("%s: %w", p.typ, err))
		}
	case asWord:
		r.word(p, v)
	case asInterface:
		r.inInterface(p, v)
	case asError:
		switch r.uint() {
		case 0:
			v.SetZero()
		default:
			v.Set(reflect.ValueOf(errors.New(r.string())))
		}
	}
}

// array reads one that may be longer or shorter here. What does not fit must be
// zero.
func (r *reader) array(p *plan, v reflect.Value) {
	n := r.count()
	v.SetZero()
	for i := range n {
		if i < v.Len() {
			r.value(p.elem, v.Index(i))
			continue
		}
		beyond := reflect.New(p.elem.typ).Elem()
		r.value(p.elem, beyond)
		if r.err == nil && !beyond.IsZero() {
			r.fail(fmt.Errorf("%s has an element %d there", p.typ, i))
		}
	}
}

func (r *reader) mapping(p *plan, v reflect.Value) {
	n := r.count()
	if n == 0 {
		v.SetZero()
		return
	}
	m := reflect.MakeMapWithSize(p.typ, n-1)
	for range n - 1 {
		k, e := reflect.New(p.key.typ).Elem(), reflect.New(p.elem.typ).Elem()
		r.value(p.key, k)
		r.value(p.elem, e)
		if r.err != nil {
			return
		}
		m.SetMapIndex(k, e)
	}
	v.Set(m)
}

func (r *reader) pointer(p *plan, v reflect.Value) {
	id := r.uint()
	switch {
	case r.err != nil:
	case id == 0:
		v.SetZero()
	case id <= uint64(len(r.objects)):
		o := r.objects[id-1].value
		if o.Type() != p.elem.typ {
			r.fail(fmt.Errorf("object %d is a %s and a %s", id, o.Type(), p.elem.typ))
			return
		}
		v.Set(o.Addr())
	case id == uint64(len(r.objects))+1:
		o := reflect.New(p.elem.typ)
		r.objects = append(r.objects, queued{p.elem, o.Elem()})
		v.Set(o)
	default:
		r.fail(fmt.Errorf("object %d comes before it is told", id))
	}
}

func (r *reader) word(p *plan, v reflect.Value) {
	w := r.string()
	if r.err != nil {
		return
	}
	n, known := p.numbers[w]
	if !known || w == "" {
		r.fail(fmt.Errorf("%q is no %s of this build", w, p.typ))
		return
	}
	if v.CanUint() {
		v.SetUint(uint64(n))
	} else {
		v.SetInt(int64(n))
	}
}

func (r *reader) inInterface(p *plan, v reflect.Value) {
	name := r.string()
	if name == "" {
		v.SetZero()
		return
	}
	t, known := r.codec.names[name]
	if !known || !t.Implements(p.typ) {
		r.fail(fmt.Errorf("%s is not known to this build as a %s", name, p.typ))
		return
	}
	in, err := r.codec.planOf(t)
	if err != nil {
		r.fail(err)
		return
	}
	x := reflect.New(t).Elem()
	r.value(in, x)
	if r.err == nil {
		v.Set(x)
	}
}

func (r *reader) time() time.Time {
	b := r.octets(1)
	if r.err != nil {
		return time.Time{}
	}
	var t time.Time
	switch b[0] &^ timeUTC {
	case timeZero:
		return t
	case timeWall:
		t = time.Unix(r.int(), int64(r.uint()))
	case timeDistance:
		return r.base.Add(time.Duration(r.int())) // UTC and Local would take the reading off
	default:
		r.fail(fmt.Errorf("%d is no kind of time", b[0]))
	}
	if b[0]&timeUTC != 0 {
		return t.UTC()
	}
	return t
}
