package machine

import "fmt"

// ReasonCode is why a service runs here or does not.
type ReasonCode uint8

// The reasons. Their words, in reasonTable, are the same in shell, page and log.
const (
	BecauseNone ReasonCode = iota
	BecauseBest
	BecauseHolder
	BecauseOthersPassed
	BecauseKeep
	BecauseOverlap
	BecauseHeldBy
	BecauseBetterCandidate
	BecauseBetterClaimant
	BecauseNotLocal
	BecauseDisabled
	BecauseNotOffered
	BecauseOSPFDown
	BecauseNotInSync
	BecauseStandby
	BecauseMaintenance
	BecauseLeaving
	BecauseHeld
	BecauseFailed
	BecauseHolding
	BecauseAlone
	BecauseNoNeighbor
	BecauseAddressTaken
	BecauseDuplicateRouterID
	BecauseReconfigured
	BecauseRemoved
	BecauseUnreachable
	BecauseSrrdGone
	BecauseRejoining
	BecauseWithdrawn
	BecauseOldLife
	BecauseReturning
	BecauseGroupLacks
	BecauseNotOfferedThere
	BecauseDependency
	BecauseNoMajority
	BecauseStoodStill
	BecauseFrozen
	BecauseClusterFrozen
	BecauseFrozenThere
	BecauseFresh
	reasonCount
)

// reasonTable gives each reason its fixed word and its sentence; %s is who or
// what it is about.
var reasonTable = [reasonCount]struct{ word, sentence string }{
	BecauseNone:              {"none", "nothing is known yet"},
	BecauseBest:              {"best", "this node is the best candidate"},
	BecauseHolder:            {"holder", "it runs here and no better claimant has shown"},
	BecauseOthersPassed:      {"others-passed", "%s did not claim it in time, and this node is the next best"},
	BecauseKeep:              {"keep", "ospfd is lost and on_ospf_loss is keep"},
	BecauseOverlap:           {"overlap", "it runs here until %s has started it"},
	BecauseHeldBy:            {"held", "%s runs it and is no worse a candidate"},
	BecauseBetterCandidate:   {"better-candidate", "%s is the better candidate and is expected to claim it"},
	BecauseBetterClaimant:    {"better-claimant", "%s is a better claimant"},
	BecauseNotLocal:          {"not-local", "it is not configured on this node"},
	BecauseDisabled:          {"disabled", "it is disabled on this node"},
	BecauseNotOffered:        {"not-offered", "its offer is not flooded yet"},
	BecauseOSPFDown:          {"ospf-down", "there is no session with ospfd: %s"},
	BecauseNotInSync:         {"not-in-sync", "the link-state database is not in sync: %s"},
	BecauseStandby:           {"standby", "the node is in standby"},
	BecauseMaintenance:       {"maintenance", "the node is in maintenance"},
	BecauseLeaving:           {"leaving", "the node is leaving the cluster"},
	BecauseHeld:              {"stopped-by-operator", "an operator stopped it; it waits for start"},
	BecauseFailed:            {"failed", "it failed there: %s"},
	BecauseHolding:           {"holding", "the node holds back for startup_hold or failback_delay"},
	BecauseAlone:             {"alone", "the node has no neighbour, and a strict service needs start_alone for that"},
	BecauseNoNeighbor:        {"cut-off", "the node has lost its last neighbour, and a strict service must not run unseen"},
	BecauseAddressTaken:      {"address-taken", "%s has the same address and comes first by name"},
	BecauseDuplicateRouterID: {"duplicate-router-id", "another node uses this node's router id"},
	BecauseReconfigured:      {"reconfigured", "its configuration changed"},
	BecauseRemoved:           {"removed", "it is no longer configured"},
	BecauseUnreachable:       {"unreachable", "the node is not reachable"},
	BecauseSrrdGone:          {"srrd-gone", "its srrd is gone though the router is reachable"},
	BecauseRejoining:         {"rejoining", "the node has come back and must stay reachable for rejoin_hold first"},
	BecauseWithdrawn:         {"withdrawn", "the node no longer offers it"},
	BecauseReturning:         {"returning", "the node was cut off and waits for rejoin_hold before it takes a strict service"},
	BecauseOldLife:           {"old-life", "the offer is of an earlier life of that node"},
	BecauseGroupLacks:        {"group-lacks", "its group cannot run there: %s"},
	BecauseNotOfferedThere:   {"not-offered-there", "the node does not offer it"},
	BecauseDependency:        {"dependency", "it depends on what does not run here: %s"},
	BecauseStoodStill:        {"stood-still", "the node stood still for longer than half of lost_hold, and others may run it by now"},
	BecauseNoMajority:        {"no-majority", "the node sees no majority: %s"},
	BecauseFrozen:            {"frozen", "%s is frozen: it is neither started nor stopped"},
	BecauseClusterFrozen:     {"cluster-frozen", "the cluster is frozen: nothing is started or stopped"},
	BecauseFrozenThere:       {"frozen-there", "%s runs it and is in maintenance"},
	BecauseFresh:             {"fresh-offer", "it is offered anew here, and waits for the offers of others that are as new"},
}

// Reason is a code with who or what it is about.
type Reason struct {
	Code ReasonCode
	Who  string
}

func (r Reason) String() string {
	if r.Code >= reasonCount {
		return "reason?"
	}
	s := reasonTable[r.Code].sentence
	if r.needsWho() {
		return fmt.Sprintf(s, r.Who)
	}
	return s
}

// Word is the reason's fixed word, for scripts.
func (r Reason) Word() string {
	if r.Code >= reasonCount {
		return "unknown"
	}
	return reasonTable[r.Code].word
}

func (r Reason) needsWho() bool {
	switch r.Code {
	case BecauseOthersPassed, BecauseOverlap, BecauseHeldBy, BecauseBetterCandidate, BecauseBetterClaimant,
		BecauseOSPFDown, BecauseNotInSync, BecauseFailed, BecauseAddressTaken,
		BecauseGroupLacks, BecauseDependency, BecauseNoMajority, BecauseFrozen, BecauseFrozenThere:
		return true
	}
	return false
}

// Want is what a verdict asks of the service on this node.
type Want uint8

// The wants. Stand: this node could run it, and another should. Stop: this
// node must not run it.
const (
	WantStop Want = iota
	WantStand
	WantRun
	WantStay
)

func (w Want) String() string {
	switch w {
	case WantRun:
		return "run"
	case WantStand:
		return "stand"
	case WantStay:
		return "stay"
	}
	return "stop"
}

// Verdict is the decision about one service on this node.
type Verdict struct {
	Want Want
	Why  Reason
	// Awaited is the better candidate that is expected to claim; after
	// claim_timeout without a word from it, it is passed over.
	Awaited      RouterID
	AwaitedStamp stampOf
}
