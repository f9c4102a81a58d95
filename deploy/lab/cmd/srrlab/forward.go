package main

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/srrd/srrd/deploy/lab"
)

func (e *env) forward() *cobra.Command {
	return &cobra.Command{
		Use:   "forward HOST PORT [LOCALPORT]",
		Short: "Make a port of a host's loopback reachable here, until the lab is down",
		Long: "Connections to 127.0.0.1:LOCALPORT (without it: a free port) come out at 127.0.0.1:PORT on\n" +
			"the host, as root there; only root and who called sudo are let through.",
		Args: cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			ports := make([]uint16, 2)
			for i, text := range args[1:] {
				n, err := strconv.ParseUint(text, 10, 16)
				if err != nil || n == 0 {
					return fmt.Errorf("port %q: want 1 to 65535", text)
				}
				ports[i] = uint16(n)
			}
			l, err := e.open()
			if err != nil {
				return err
			}
			at, err := l.Forward(args[0], ports[0], netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ports[1]))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), at)
			return err
		},
	}
}

func (e *env) carry() *cobra.Command {
	var uids []uint
	c := &cobra.Command{
		Use: "carry PORT", Short: "Carry connections to a port of this namespace (used by forward)", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			port, err := strconv.ParseUint(args[0], 10, 16)
			if err != nil {
				return fmt.Errorf("port %q: want 1 to 65535", args[0])
			}
			allowed := []uint32{uint32(os.Getuid())}
			for _, u := range uids {
				allowed = append(allowed, uint32(u))
			}
			return lab.Carry(cmd.Context(), uint16(port), allowed)
		},
	}
	c.Flags().UintSliceVar(&uids, "uid", nil, "let this user through too")
	return c
}
