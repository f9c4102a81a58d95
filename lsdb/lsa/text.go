package lsa

import (
	"fmt"
	"strings"
)

// OpaqueDecoder turns the body of an opaque LSA into text of one or more
// lines; ok is false if it does not know the opaque type or cannot read the
// body, which is then shown in hex.
type OpaqueDecoder func(opaqueType uint8, body []byte) (text string, ok bool)

// String is the LSA in one line: what it is, whose, its instance, its gist.
func (l LSA) String() string {
	return l.Header.String() + l.gist()
}

// String is the header in one line.
func (h Header) String() string {
	dna := ""
	if h.DoNotAge {
		dna = " DNA"
	}
	return fmt.Sprintf("%s %s adv %s age %d%s seq %s cksum %s len %d",
		h.Type, h.ID, h.AdvRouter, h.Age, dna, h.Seq, h.Checksum, h.Length)
}

func (l LSA) gist() string {
	switch b := l.Body.(type) {
	case Router:
		return fmt.Sprintf(" flags %s links %d", b.Flags, len(b.Links))
	case Network:
		p, _ := l.Prefix()
		return fmt.Sprintf(" net %s routers %d", p, len(b.Routers))
	case Summary:
		if l.Type == TypeASBRSummary {
			return fmt.Sprintf(" asbr %s metric %d", l.ID, b.Metric)
		}
		p, _ := l.Prefix()
		return fmt.Sprintf(" net %s metric %d", p, b.Metric)
	case External:
		p, _ := l.Prefix()
		return fmt.Sprintf(" net %s %s metric %d tag %d", p, metricType(b.E2), b.Metric, b.Tag)
	case Opaque:
		return fmt.Sprintf(" data %d", len(b.Data))
	case nil:
	}
	return ""
}

func metricType(e2 bool) string {
	if e2 {
		return "E2"
	}
	return "E1"
}

// Detail is the LSA in full, several lines each ended by a newline, after
// the manner of `show ip ospf database TYPE`. decode may be nil.
func (l LSA) Detail(decode OpaqueDecoder) string {
	var b strings.Builder
	dna := ""
	if l.DoNotAge {
		dna = " (DoNotAge)"
	}
	fmt.Fprintf(&b, "  LS age: %d%s\n", l.Age, dna)
	fmt.Fprintf(&b, "  Options: 0x%x : %s\n", uint8(l.Options), l.Options)
	fmt.Fprintf(&b, "  LS Type: %s\n", l.Type)
	fmt.Fprintf(&b, "  Link State ID: %s\n", l.ID)
	fmt.Fprintf(&b, "  Advertising Router: %s\n", l.AdvRouter)
	fmt.Fprintf(&b, "  LS Seq Number: %08x\n", uint32(l.Seq))
	fmt.Fprintf(&b, "  Checksum: %s\n", l.Checksum)
	fmt.Fprintf(&b, "  Length: %d\n", l.Length)
	switch v := l.Body.(type) {
	case Router:
		v.detail(&b)
	case Network:
		fmt.Fprintf(&b, "  Network Mask: /%d\n", v.Bits)
		for _, r := range v.Routers {
			fmt.Fprintf(&b, "    Attached Router: %s\n", r)
		}
	case Summary:
		fmt.Fprintf(&b, "  Network Mask: /%d\n", v.Bits)
		fmt.Fprintf(&b, "    TOS: 0  Metric: %d\n", v.Metric)
		for _, t := range v.TOS {
			fmt.Fprintf(&b, "    TOS: %d  Metric: %d\n", t.TOS, t.Metric)
		}
	case External:
		fmt.Fprintf(&b, "  Network Mask: /%d\n", v.Bits)
		ExternalTOS{E2: v.E2, Metric: v.Metric, Forward: v.Forward, Tag: v.Tag}.detail(&b)
		for _, t := range v.TOS {
			t.detail(&b)
		}
	case Opaque:
		id, _ := l.Opaque()
		fmt.Fprintf(&b, "  Opaque-Type: %d\n", id.Type)
		fmt.Fprintf(&b, "  Opaque-ID: 0x%x\n", id.ID)
		v.detail(&b, id.Type, decode)
	case nil:
	}
	return b.String()
}

func (r Router) detail(b *strings.Builder) {
	fmt.Fprintf(b, "  Flags: 0x%x : %s\n", uint8(r.Flags), r.Flags)
	fmt.Fprintf(b, "  Number of Links: %d\n", len(r.Links))
	for _, l := range r.Links {
		switch l.Type {
		case LinkPointToPoint, LinkVirtual:
			fmt.Fprintf(b, "    %s: neighbor %s, interface %s", l.Type, l.ID, l.Data)
		case LinkTransit:
			fmt.Fprintf(b, "    %s: designated router %s, interface %s", l.Type, l.ID, l.Data)
		case LinkStub:
			if p, ok := l.Prefix(); ok {
				fmt.Fprintf(b, "    %s: net %s", l.Type, p)
			} else {
				fmt.Fprintf(b, "    %s: net %s mask %s", l.Type, l.ID, l.Data)
			}
		default:
			fmt.Fprintf(b, "    %s: id %s, data %s", l.Type, l.ID, l.Data)
		}
		fmt.Fprintf(b, ", metric %d\n", l.Metric)
		for _, t := range l.TOS {
			fmt.Fprintf(b, "      TOS: %d  Metric: %d\n", t.TOS, t.Metric)
		}
	}
}

func (t ExternalTOS) detail(b *strings.Builder) {
	fmt.Fprintf(b, "    TOS: %d  Metric Type: %s  Metric: %d  Forward Address: %s  External Route Tag: %d\n",
		t.TOS, metricType(t.E2), t.Metric, t.Forward, t.Tag)
}

func (o Opaque) detail(b *strings.Builder, typ uint8, decode OpaqueDecoder) {
	if decode != nil {
		if s, ok := decode(typ, o.Data); ok {
			for line := range strings.Lines(s) {
				b.WriteString("    ")
				b.WriteString(strings.TrimSuffix(line, "\n"))
				b.WriteByte('\n')
			}
			return
		}
	}
	fmt.Fprintf(b, "  Opaque-Info: %d octets of data\n", len(o.Data))
	for data := o.Data; len(data) > 0; {
		n := min(len(data), 16)
		fmt.Fprintf(b, "    % x\n", data[:n])
		data = data[n:]
	}
}
