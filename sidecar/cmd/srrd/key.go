package main

import (
	"crypto/rand"
	"fmt"
	"math"
	"strconv"

	"github.com/spf13/cobra"
)

// secretBytes is the size of a secret: that of the hash it is used with.
const secretBytes = 32

// key is `srrd key`: a line for the file of keys.
func (c *command) key() *cobra.Command {
	return &cobra.Command{
		Use: "key ID", DisableFlagsInUseLine: true,
		Short: "Make a key to sign LSAs with: a line for the file of authentication.keys",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{fmt.Errorf("srrd key wants the id of the key, got %d words", len(args))}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := strconv.ParseUint(args[0], 10, 32)
			if err != nil || id == 0 {
				return &usageError{fmt.Errorf("the id of a key is a number from 1 to %d", uint32(math.MaxUint32))}
			}
			secret := make([]byte, secretBytes)
			if _, err := rand.Read(secret); err != nil {
				return fmt.Errorf("making a secret: %w", err)
			}
			_, err = fmt.Fprintf(c.out, "%d %x\n", id, secret)
			return err
		},
	}
}
