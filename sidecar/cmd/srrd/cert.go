package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
)

// How long certificates hold. They begin an hour early, for the clocks of a
// lab; none outlives the CA.
const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 397 * 24 * time.Hour // browsers take no server certificate of more than 398 days for good (CA/Browser Forum BR 6.3.2)
	early    = time.Hour
)

// certName is what may name a file and a subject.
var certName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,62}$`)

// certs is the command line of srrd cert.
type certs struct {
	*command
	force bool
	units []string
	now   time.Time
}

// cert makes the certificates that web.certificate, web.key and web.clients name.
func (c *command) cert() *cobra.Command {
	k := &certs{command: c, now: time.Now()}
	parent := &cobra.Command{
		Use: "cert ca|server|client DIR ...", DisableFlagsInUseLine: true,
		Short: "Make a small CA and certificates for the pages, for a lab",
		Long: `The keys are ECDSA P-256, readable by their owner only; nothing is overwritten
without --force. The CA is ten years good, what it signs 397 days. Keep ca.key away
from the nodes: who has it can be anybody.

  srrd cert ca DIR                                ca.pem, ca.key
  srrd cert server DIR HOST [ADDRESS...]          HOST.pem, HOST.key
  srrd cert client DIR NAME [--unit UNIT]...      NAME.pem, NAME.key

A node names HOST.pem in web.certificate, HOST.key in web.key and ca.pem in
web.clients. A person's role comes from the NAME (CN=NAME) or a UNIT (OU=UNIT) in
web.roles. A browser wants both files in one:

  openssl pkcs12 -export -in NAME.pem -inkey NAME.key -out NAME.p12`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{fmt.Errorf("cert: %q: want ca, server or client", args[0])}
			}
			return &usageError{errors.New("cert: want ca, server or client")}
		},
	}
	parent.PersistentFlags().BoolVar(&k.force, "force", false, "write over files that are there")
	// args counts, with an exit code of its own.
	args := func(count cobra.PositionalArgs) cobra.PositionalArgs {
		return func(cmd *cobra.Command, a []string) error {
			if err := count(cmd, a); err != nil {
				return &usageError{fmt.Errorf("%s: %w", cmd.UseLine(), err)}
			}
			return nil
		}
	}
	client := &cobra.Command{Use: "client DIR NAME [--unit UNIT]...", DisableFlagsInUseLine: true, Short: "Make the certificate of a person or a program", Args: args(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, a []string) error { return k.client(a[0], a[1]) }}
	client.Flags().StringArrayVar(&k.units, "unit", nil, "an organizational `unit` (OU) of the subject; may be repeated")
	parent.AddCommand(
		&cobra.Command{Use: "ca DIR", DisableFlagsInUseLine: true, Short: "Make the CA", Args: args(cobra.ExactArgs(1)),
			RunE: func(_ *cobra.Command, a []string) error { return k.ca(a[0]) }},
		&cobra.Command{Use: "server DIR HOST [ADDRESS...]", DisableFlagsInUseLine: true, Short: "Make the certificate of a node's pages", Args: args(cobra.MinimumNArgs(2)),
			RunE: func(_ *cobra.Command, a []string) error { return k.server(a[0], a[1], a[2:]) }},
		client,
	)
	return parent
}

func (k *certs) ca(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cert: %w", err)
	}
	return k.make(dir, "ca", &x509.Certificate{
		Subject: pkix.Name{CommonName: "srrd lab CA " + k.now.UTC().Format("2006-01-02 15:04:05")},
		IsCA:    true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		NotAfter: k.now.Add(caLife),
	}, nil)
}

func (k *certs) server(dir, host string, addresses []string) error {
	tmpl := &x509.Certificate{
		Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotAfter: k.now.Add(leafLife),
	}
	if _, err := netip.ParseAddr(host); err == nil {
		tmpl.DNSNames, addresses = nil, append([]string{host}, addresses...)
	}
	for _, s := range addresses {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return &usageError{fmt.Errorf("cert server: %q: want an IP address", s)}
		}
		tmpl.IPAddresses = append(tmpl.IPAddresses, net.IP(a.Unmap().AsSlice()))
	}
	return k.signed(dir, host, tmpl)
}

func (k *certs) client(dir, name string) error {
	return k.signed(dir, name, &x509.Certificate{
		Subject:  pkix.Name{CommonName: name, OrganizationalUnit: k.units},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotAfter: k.now.Add(leafLife),
	})
}

// authority is a CA that can sign.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// signed makes a certificate of the CA in dir.
func (k *certs) signed(dir, name string, tmpl *x509.Certificate) error {
	if !certName.MatchString(name) || name == "ca" {
		return &usageError{fmt.Errorf("cert: name %q: want letters, digits and _ . @ -, at most 63, and not ca", name)}
	}
	by, err := k.authority(dir)
	if err != nil {
		return fmt.Errorf("cert: the CA: %w (srrd cert ca %s makes one)", err, dir)
	}
	return k.make(dir, name, tmpl, by)
}

func (k *certs) authority(dir string) (*authority, error) {
	path := filepath.Join(dir, "ca.pem")
	der, err := readPEM(path, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case !cert.IsCA:
		return nil, fmt.Errorf("%s: not the certificate of a CA", path)
	case k.now.After(cert.NotAfter):
		return nil, fmt.Errorf("%s: ended at %s", path, cert.NotAfter.Format(time.RFC3339))
	}
	path = filepath.Join(dir, "ca.key")
	if der, err = readPEM(path, "PRIVATE KEY"); err != nil {
		return nil, err
	}
	any, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, ok := any.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%s: not the key of ca.pem", path)
	}
	return &authority{cert, key}, nil
}

func readPEM(path, kind string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s: no PEM block %s first", path, kind)
	}
	return block.Bytes, nil
}

// make writes NAME.key and NAME.pem, signed by the CA or, without one, itself.
func (k *certs) make(dir, name string, tmpl *x509.Certificate, by *authority) error {
	certPath, keyPath := filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	if !k.force {
		for _, path := range []string{certPath, keyPath} {
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("cert: %s is there already; --force writes over it", path)
			}
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("cert: key: %w", err)
	}
	tmpl.NotBefore = k.now.Add(-early)
	parent, with := tmpl, key
	if by != nil {
		parent, with = by.cert, by.key
		tmpl.NotAfter = slices.MinFunc([]time.Time{tmpl.NotAfter, by.cert.NotAfter}, time.Time.Compare)
	}
	// Without a serial number CreateCertificate chooses one by chance.
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, with)
	if err != nil {
		return fmt.Errorf("cert: %s: %w", name, err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("cert: %s: %w", name, err)
	}
	for _, f := range []struct {
		path, kind string
		der        []byte
		mode       fs.FileMode
	}{{keyPath, "PRIVATE KEY", secret, 0o600}, {certPath, "CERTIFICATE", der, 0o644}} {
		if err := renameio.WriteFile(f.path, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), f.mode, renameio.IgnoreUmask()); err != nil {
			return fmt.Errorf("cert: %w", err)
		}
	}
	_, err = fmt.Fprintf(k.out, "%s, %s: %s, until %s\n", certPath, keyPath, tmpl.Subject, tmpl.NotAfter.UTC().Format(time.DateOnly))
	return err
}
