// Package whatif answers what would happen to a cluster if something happened
// to it, and runs clusters that were never there. It takes a cluster up in the
// simulator as one node sees it (view.ClusterDocument), lets it come to rest,
// has the thing happen, and tells what moved, for how long nobody ran it, and
// why, in the words of the machines themselves.
//
// It is used by srrsim and srrsh, in their own processes: the daemon gives no
// more than the document, and nothing of the live cluster is touched.
//
// Guarantees: equal documents, questions and options give equal answers, byte
// for byte. A simulation ends after Options.For of virtual time; its real time
// is bounded by the caller's context, looked at between any two simulated
// seconds. Nothing here is safe for concurrent use.
//
// What a document does not say is assumed, and Answer.Assumed says so:
// primitives take 1 to 20 ms and go well, other nodes have the settings of the
// one the document is of, or, where that has none, the defaults, there are
// routers between the nodes, and a node that is not present in the document is
// off.
package whatif
