// Package view is what people see: the immutable Snapshot that shell, web and
// metrics read, and the Board by which the owner loop hands it to them.
//
// # Contract
//
// A Snapshot never changes once it is published, and shares nothing that
// changes; any goroutine may read it for as long as it likes.
//
// A Builder belongs to the owner loop alone. It is told every event with the
// actions that came of it, keeps what people want to look back at (the list of
// events, what was asked of kernel and zebra for each address and what they
// said), and makes snapshots.
//
// A Board has one writer, the owner loop, and any number of readers. Read
// gives a snapshot that was published after Read was called, so a reader that
// got the answer to a command sees its effect. The owner builds one snapshot
// for all readers that wait, when its inbox is drained:
//
//	case <-board.Asked():       // somebody waits
//		owed = true
//	...
//	if owed && inboxIsEmpty {
//		board.Publish(builder.Snapshot(now, node.View(now), mirror))
//		owed = false
//	}
//
// Nothing here blocks the owner, and a reader that goes away leaves nothing
// behind. The package reads no clock.
package view
