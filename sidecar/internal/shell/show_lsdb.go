package shell

import (
	"fmt"
	"strconv"

	"github.com/srrd/srrd/sidecar/internal/view"
)

func showLSDB(kind string, detail bool) func(*call) error {
	return func(c *call) error {
		s, err := c.read()
		if err != nil {
			return err
		}
		if c.opts.JSON {
			return c.json(s.DatabaseDocument(c.now, kind, detail))
		}
		rows := s.LSAs(c.now, kind, detail)
		if len(rows) == 0 {
			c.out.WriteString("no LSAs of that kind\n")
			return nil
		}
		if detail {
			lsaDetail(c, rows)
			return nil
		}
		lsaTables(c, rows)
		return nil
	}
}

func lsaTables(c *call, rows []view.LSARow) {
	for i := 0; i < len(rows); {
		heading := rows[i].Heading()
		t := table{head: []string{"", "link state id", "router", ">age", "sequence", ">len", "says"}}
		for ; i < len(rows) && rows[i].Heading() == heading; i++ {
			r := &rows[i]
			ageText := strconv.Itoa(int(r.Age))
			if r.MaxAge {
				ageText = "max"
			}
			t.add(selfMark(r.Self), r.ID, r.Host, ageText, r.Seq, strconv.Itoa(int(r.Length)), r.Gist)
		}
		c.out.WriteString(heading + "\n")
		t.write(c.out, c.opts.Width)
		if i < len(rows) {
			c.out.WriteString("\n")
		}
	}
}

func lsaDetail(c *call, rows []view.LSARow) {
	for i := range rows {
		r := &rows[i]
		if i > 0 {
			c.out.WriteString("\n")
		}
		fmt.Fprintf(c.out, "%s: %s of %s\n%s\n", r.Heading(), r.ID, clean(r.Host), cleanLines(r.Text))
	}
}
