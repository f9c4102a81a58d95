// Package web serves the pages of a node, the JSON API under /api/v1 and the
// two probes.
//
// # Contract
//
// A Server reads snapshots and asks for changes through Deps; it never touches
// the machine, and its handlers may run in any number at once. What a page
// says, it says in the words of package view, as the shell does. Run serves
// until its context ends and leaves no goroutine behind.
//
// # Who may do what
//
// Plain HTTP is served on loopback addresses only; who connects there is who
// the kernel says owns the socket (Config.Local). Elsewhere there is only
// HTTPS, TLS 1.3, with client certificates from the configured CAs, and the
// subject gives the role. New refuses every other combination.
//
//	viewer    reads all pages and runs show commands of the routing daemons
//	operator  also acts on services and on the node
//	admin     also changes configuration files, configures the routing
//	          daemons, reloads and shuts down
//
// A POST is taken only from the same origin and with the token that the form
// (or /api/v1/session) gave to the same person; it is bound to this run of
// srrd. Every change that is asked for leaves a line in the audit log: who,
// from where, what, before, after, and the outcome.
//
// # The pages
//
// They are complete without script, load nothing from elsewhere, and carry no
// inline style or script (Content-Security-Policy). With script, the parts
// marked data-live follow /api/v1/watch.
package web
