package handover

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"
)

// Append writes what v, a pointer, points to. base is now, for times with a
// monotonic reading.
func (c *Codec) Append(b []byte, base time.Time, v any) ([]byte, error) {
	root := reflect.ValueOf(v)
	if root.Kind() != reflect.Pointer || root.IsNil() {
		return nil, fmt.Errorf("hand-over of %T: not a pointer to something", v)
	}
	p, err := c.planOf(root.Type().Elem())
	if err != nil {
		return nil, fmt.Errorf("hand-over of %T: %w", v, err)
	}
	w := &writer{codec: c, base: base, ids: map[object]uint64{}, structs: map[*plan]uint64{}}
	w.schemaOf(p)
	w.value(p, root.Elem())
	for at := 0; at < len(w.queue) && w.err == nil; at++ {
		o := w.queue[at]
		w.value(o.plan, o.value)
	}
	if w.err != nil {
		return nil, fmt.Errorf("hand-over of %T: %w", v, w.err)
	}
	b = append(b, magic...)
	b = binary.AppendUvarint(b, format)
	b = binary.AppendUvarint(b, uint64(len(w.order)))
	for _, p := range w.order {
		b = appendString(b, p.typ.String())
		b = binary.AppendUvarint(b, uint64(len(p.fields)))
		for _, f := range p.fields {
			b = appendString(b, f.name)
			b = appendString(b, shape(f.plan.typ))
		}
	}
	return append(b, w.b...), nil
}

type writer struct {
	codec   *Codec
	base    time.Time
	b       []byte
	ids     map[object]uint64
	queue   []queued
	structs map[*plan]uint64
	order   []*plan // struct types, as they are met first
	err     error
}

// object is what a pointer points to; an object and its first field have the
// same address, and not the same type.
type object struct {
	at  uintptr
	typ reflect.Type
}

type queued struct {
	plan  *plan
	value reflect.Value
}

func (w *writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// schemaOf enters a struct type, and those within it.
func (w *writer) schemaOf(p *plan) {
	if p == nil {
		return
	}
	if p.class != asStruct {
		w.schemaOf(p.key)
		if p.class != asPointer {
			w.schemaOf(p.elem)
		}
		return
	}
	if _, known := w.structs[p]; known {
		return
	}
	w.structs[p] = uint64(len(w.order))
	w.order = append(w.order, p)
	for _, f := range p.fields {
		w.schemaOf(f.plan)
	}
}

func (w *writer) uint(n uint64) { w.b = binary.AppendUvarint(w.b, n) }
func (w *writer) int(n int64)   { w.b = binary.AppendVarint(w.b, n) }

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func (w *writer) string(s string) { w.b = appendString(w.b, s) }

// value writes one value. v is addressable if it is, or holds, a struct.
func (w *writer) value(p *plan, v reflect.Value) {
	switch p.class {
	case asBool:
		if v.Bool() {
			w.b = append(w.b, 1)
		} else {
			w.b = append(w.b, 0)
		}
	case asInt:
		w.int(v.Int())
	case asUint:
		w.uint(v.Uint())
	case asFloat:
		w.uint(math.Float64bits(v.Float()))
	case asString:
		w.string(v.String())
	case asBytes:
		if v.IsNil() {
			w.uint(0)
			return
		}
		w.uint(uint64(v.Len()) + 1)
		w.b = append(w.b, v.Bytes()...)
	case asSlice:
		if v.IsNil() {
			w.uint(0)
			return
		}
		w.uint(uint64(v.Len()) + 1)
		for i := range v.Len() {
			w.value(p.elem, v.Index(i))
		}
	case asArray:
		w.uint(uint64(v.Len()))
		for i := range v.Len() {
			w.value(p.elem, v.Index(i))
		}
	case asMap:
		w.mapping(p, v)
	case asPointer:
		w.pointer(p, v)
	case asStruct:
		for _, f := range p.fields {
			w.value(f.plan, open(v, f.index))
		}
	case asTime:
		w.time(v.Interface().(time.Time))
	case asBinary:
		b, err := v.Interface().(encoding.BinaryMarshaler).MarshalBinary()
		if err != nil {
			w.fail(fmt.Errorf("%s: %w", p.typ, err))
		}
		w.uint(uint64(len(b)))
		w.b = append(w.b, b...)
	case asWord:
		n := number(v)
		if n >= uint64(len(p.words)) || p.words[n] == "" {
			w.fail(fmt.Errorf("%s has no word for %d", p.typ, n))
			return
		}
		w.string(p.words[n])
	case asInterface:
		w.inInterface(v)
	case asError:
		if v.IsNil() {
			w.uint(0)
			return
		}
		w.uint(1)
		w.string(v.Interface().(error).Error())
	}
}

func number(v reflect.Value) uint64 {
	if v.CanUint() {
		return v.Uint()
	}
	return uint64(v.Int())
}

// mapping writes a map in the order of its keys' octets.
func (w *writer) mapping(p *plan, v reflect.Value) {
	if v.IsNil() {
		w.uint(0)
		return
	}
	w.uint(uint64(v.Len()) + 1)
	type pair struct {
		octets []byte
		elem   reflect.Value
	}
	all := make([]pair, 0, v.Len())
	outer := w.b
	for it := v.MapRange(); it.Next(); {
		w.b = nil
		w.value(p.key, addressable(it.Key()))
		all = append(all, pair{w.b, it.Value()})
	}
	w.b = outer
	slices.SortFunc(all, func(a, b pair) int { return bytes.Compare(a.octets, b.octets) })
	for _, x := range all {
		w.b = append(w.b, x.octets...)
		w.value(p.elem, addressable(x.elem))
	}
}

// addressable is v, or a copy of it that has an address.
func addressable(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Struct, reflect.Array:
		c := reflect.New(v.Type()).Elem()
		c.Set(v)
		return c
	}
	return v
}

// pointer writes the number of the object, which follows later.
func (w *writer) pointer(p *plan, v reflect.Value) {
	if v.IsNil() {
		w.uint(0)
		return
	}
	o := object{v.Pointer(), p.typ}
	id, known := w.ids[o]
	if !known {
		id = uint64(len(w.ids)) + 1
		w.ids[o] = id
		w.schemaOf(p.elem)
		w.queue = append(w.queue, queued{p.elem, v.Elem()})
	}
	w.uint(id)
}

func (w *writer) inInterface(v reflect.Value) {
	if v.IsNil() {
		w.string("")
		return
	}
	name, known := w.codec.byType[v.Elem().Type()]
	if !known {
		w.fail(fmt.Errorf("%s in an interface was not named", v.Elem().Type()))
		return
	}
	p, err := w.codec.planOf(v.Elem().Type())
	if err != nil {
		w.fail(err)
		return
	}
	w.schemaOf(p)
	w.string(name)
	w.value(p, addressable(v.Elem()))
}

// How a time is written.
const (
	timeZero = iota
	timeWall
	timeDistance
	timeUTC = 4 // beside them: not in the local zone
)

func (w *writer) time(t time.Time) {
	zone := byte(0)
	if t.Location() == time.UTC {
		zone = timeUTC
	}
	switch {
	case t.IsZero():
		w.b = append(w.b, timeZero)
	case t == t.Round(0): // Round takes a monotonic reading off
		w.b = append(w.b, timeWall|zone)
		w.int(t.Unix())
		w.uint(uint64(t.Nanosecond()))
	default:
		w.b = append(w.b, timeDistance|zone)
		w.int(int64(t.Sub(w.base)))
	}
}
