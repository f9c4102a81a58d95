package machine

import "fmt"

// WatchRows has every row of the life cycle noted when it is taken, for the
// test that holds the stories against the table. It returns what gives the
// rows that were not taken since, in the order of the table, and what has them
// no longer noted. Nothing of it is in what ships: the rows' actions are
// wrapped here, in the test.
func WatchRows() (missed func() []string, done func()) {
	taken := map[string]bool{}
	whole := rowsOf
	for p := range rowsOf {
		rows := make([]row, len(rowsOf[p]))
		for i, r := range rowsOf[p] {
			do, name := r.Do, r.name()
			r.Do = func(n *Node, s *service) {
				taken[name] = true
				if do != nil {
					do(n, s)
				}
			}
			rows[i] = r
		}
		rowsOf[p] = rows
	}
	return func() (all []string) {
		for _, r := range life {
			if !taken[r.name()] {
				all = append(all, r.name())
			}
		}
		return all
	}, func() { rowsOf = whole }
}

// name says a row as the table of DESIGN section 2 does: from, when, to.
func (r row) name() string {
	to := r.To.String()
	if r.To == phaseFailing {
		to = "failed, or stopping where it is strict"
	}
	return fmt.Sprintf("%s, %s: %s", r.From, r.On, to)
}
