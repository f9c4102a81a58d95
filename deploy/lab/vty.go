package lab

import (
	"context"
	"time"

	"github.com/srrd/srrd/vty"
)

// vtyTimeout bounds one question; a frozen daemon accepts and never answers.
const vtyTimeout = 5 * time.Second

// askVTY runs one command in enable mode (view mode lacks bfdd's commands) over
// a session of its own: a daemon may be killed between any two questions.
func askVTY(socket, command string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), vtyTimeout)
	defer cancel()
	s, err := vty.Dial(ctx, socket)
	if err != nil {
		return "", err
	}
	defer s.Close()
	if err := s.Enable(ctx); err != nil {
		return "", err
	}
	return s.Exec(ctx, command)
}
