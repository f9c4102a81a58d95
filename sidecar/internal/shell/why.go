package shell

import "strings"

func why(c *call) error {
	sv, err := c.service("SERVICE")
	if err != nil {
		return err
	}
	s, err := c.read()
	if err != nil {
		return err
	}
	all := s.Explain(c.now, sv)
	if c.opts.JSON {
		return c.json(s.WhyDocument(c.now, sv))
	}
	for _, l := range all {
		text := strings.TrimLeft(l, " ")
		indent := len(l) - len(text)
		room := 0
		if c.opts.Width > 0 {
			room = max(minLast, c.opts.Width-indent)
		}
		for i, part := range wrap(clean(text), room) {
			if i == 1 && indent > 0 {
				indent += strings.IndexByte(text, ' ') + 1 // under the words behind "1." or "-"
			}
			c.out.WriteString(strings.Repeat(" ", indent) + part + "\n")
		}
	}
	return nil
}
