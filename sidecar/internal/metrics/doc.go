// Package metrics tells Prometheus how srrd and its services do.
//
// # Contract
//
// A Collector has two sources. What is now it derives from one snapshot per
// scrape, read like any other face does, so that a graph shows what shell and
// pages show. What has happened it counts as the owner loop tells it: Step
// with every event and its actions, Failover with every failover that ended
// (view.Builder.OnFailover). Both belong to the owner alone, cost well under a
// microsecond for common events, and never block. VTY and the Handler may be
// used from any goroutine.
//
// A re-execution resets no counter: HandOver writes down what was counted, and
// what is under way, and TakeOver goes on from there. Go's own figures begin anew.
//
// If the owner does not answer within readTimeout, a scrape still has the
// counters, and says so with srrd_owner_answers 0.
//
// # Names
//
// Every name begins with srrd_, is in base units (seconds), and ends in _total
// if it only grows. The names, kinds, labels and help texts are listed in
// deploy/monitoring/METRICS.md, which a test holds against the code, as it
// does the alert rules and the dashboard beside it. Names are never given
// another meaning.
//
// Label values come from fixed sets, but for service, host and version. Failovers are
// counted by the node that takes the service, so that a sum over all nodes
// counts each once.
package metrics
