package machine

import "github.com/srrd/srrd/sidecar/internal/advert"

// phase is where in its life a service of this node is: the service state and
// step of DESIGN section 2, told finer. The configuration state stands beside
// it, because ospfd can be lost in every phase.
type phase uint8

const (
	phaseDisabled phase = iota
	phaseInactive
	phaseFound      // the status primitive says whether what an earlier life left still runs
	phaseActivating // activate runs
	phaseInjected
	phaseStopped
	phaseClaim        // claimed; somebody stands in the way
	phaseDependencies // services here that it depends on have not started
	phaseAddresses
	phaseStart
	phaseAnnounce
	phaseStarted
	phaseRecover    // started, and restart is tried before it is given up
	phaseDependents // services here that depend on it must stop first
	phaseLinger     // withdrawn, still accepting
	phaseStop
	phaseOff // addresses and routes on their way off
	phaseFailedDependents
	phaseFailedStop
	phaseFailedOff
	phaseFailed
	phaseConfigFailed
	phaseDeactivating
	phaseCount
	// phaseFailing is no phase to be in: a row that leads there leads to
	// phaseDependents for a strict service, which must not say failed before
	// it tried to stop, and to phaseFailedDependents for a plain one.
	phaseFailing
)

var phaseTable = [phaseCount]struct {
	word  string
	state advert.State
	step  advert.Step
}{
	phaseDisabled:         {"disabled", advert.Stopped, advert.StepNone},
	phaseInactive:         {"inactive", advert.Stopped, advert.StepNone},
	phaseFound:            {"found", advert.Stopped, advert.StepNone},
	phaseActivating:       {"activating", advert.Stopped, advert.StepNone},
	phaseInjected:         {"injected", advert.Stopped, advert.StepNone},
	phaseStopped:          {"stopped", advert.Stopped, advert.StepNone},
	phaseClaim:            {"claim", advert.Starting, advert.StepClaim},
	phaseDependencies:     {"dependencies", advert.Starting, advert.StepDependencies},
	phaseAddresses:        {"addresses", advert.Starting, advert.StepAddresses},
	phaseStart:            {"start", advert.Starting, advert.StepStart},
	phaseAnnounce:         {"announce", advert.Starting, advert.StepAnnounce},
	phaseStarted:          {"started", advert.Started, advert.StepNone},
	phaseRecover:          {"recover", advert.Started, advert.StepNone},
	phaseDependents:       {"dependents", advert.Stopping, advert.StepDependents},
	phaseFailedDependents: {"failed, dependents", advert.Failed, advert.StepDependents},
	phaseLinger:           {"linger", advert.Stopping, advert.StepLinger},
	phaseStop:             {"stop", advert.Stopping, advert.StepStop},
	phaseOff:              {"off", advert.Stopping, advert.StepAddresses},
	phaseFailedStop:       {"failed, stop", advert.Failed, advert.StepStop},
	phaseFailedOff:        {"failed, off", advert.Failed, advert.StepAddresses},
	phaseFailed:           {"failed", advert.Failed, advert.StepNone},
	phaseConfigFailed:     {"configuration failed", advert.Stopped, advert.StepNone},
	phaseDeactivating:     {"deactivating", advert.Stopped, advert.StepNone},
}

func (p phase) String() string {
	if p < phaseCount {
		return phaseTable[p].word
	}
	return "phase?"
}

func (p phase) state() advert.State { return phaseTable[p].state }
func (p phase) step() advert.Step   { return phaseTable[p].step }

// idle reports whether primitives that are no part of a transition may run.
func (p phase) idle() bool {
	switch p {
	case phaseDisabled, phaseInactive, phaseInjected, phaseStopped, phaseStarted, phaseFailed, phaseConfigFailed:
		return true
	case phaseFound, phaseActivating, phaseClaim, phaseDependencies, phaseAddresses, phaseStart, phaseAnnounce, phaseRecover, phaseDependents,
		phaseLinger, phaseStop, phaseOff, phaseFailedDependents, phaseFailedStop, phaseFailedOff, phaseDeactivating:
	}
	return false
}

func (p phase) announced() bool { return p == phaseAnnounce || p == phaseStarted || p == phaseRecover }

// startDone reports whether the start primitive is done and stop not begun:
// what depends on the service may run.
func (p phase) startDone() bool { return p.announced() }

// begun reports whether what the service depends on must not be taken away.
func (p phase) begun() bool {
	switch p {
	case phaseAddresses, phaseStart, phaseAnnounce, phaseStarted, phaseRecover, phaseDependents, phaseLinger, phaseStop,
		phaseFailedDependents, phaseFailedStop:
		return true
	case phaseDisabled, phaseInactive, phaseFound, phaseActivating, phaseInjected, phaseStopped, phaseClaim, phaseDependencies,
		phaseOff, phaseFailedOff, phaseFailed, phaseConfigFailed, phaseDeactivating:
	}
	return false
}

func (p phase) settledForExit() bool { return p == phaseDisabled }

// stimulus is what a row waits for. Each is a question about the present, not
// a thing that happened: asked again, it has the same answer.
type stimulus uint8

const (
	onUnwanted      stimulus = iota // disabled, removed, reconfigured or leaving; not while others must be warned of a failed stop
	onEnabled                       // none of these
	onReplaced                      // removed or reconfigured, and nothing runs
	onFound                         // an earlier life left a mark
	onFoundLate                     // the same, and it cannot be known in time whether others took it
	onReady                         // in sync, node online, no retry pending
	onReadyAgain                    // the same, and activate has run already
	onLost                          // the session with ospfd is gone
	onEcho                          // our LSA was seen back
	onEchoStuck                     // it was seen back, and a stop failed before
	onNoEcho                        // it was not, three times
	onRefused                       // ospfd does not take it now
	onRun                           // verdict: run
	onNotRun                        // verdict: stand or stop
	onClear                         // nobody stands in the way of the claim
	onOutdone                       // nothing does but that a majority knows of a higher claim
	onDone                          // the primitive of this phase is done
	onDoneAdoptable                 // it says running, and no better claimant has it
	onFailed                        // it failed
	onTimeout                       // it took too long, also with recalls
	onUnknown                       // nobody knows
	onAddressesOn
	onAddressError
	onSeen         // own /32 of every address in the database
	onUnseen       // not, since a moment ago
	onLate         // the time for that is over
	onOff          // addresses and routes are gone
	onOffFailed    // the same, and the cause was a failure
	onOffLate      // they do not go
	onBroken       // a check, restart or watch says it is broken
	onRecoverable  // the same, and restart may be tried
	onDependencies // what it depends on has started
	onFree         // nothing here that depends on it runs
	onRunAgain     // verdict: run, and it stops for no failure
	onSuccessor    // overlap: the next one is announced
	onRetry        // retry_after is over
	onReactivate
	stimulusCount
)

var stimulusWords = [stimulusCount]string{"unwanted", "enabled", "replaced", "found", "found, not in sync in time", "ready", "ready again", "ospf lost", "echo", "echo, stop failed before",
	"no echo", "refused", "run", "not run", "clear", "outdone", "done", "done, adoptable", "failed", "timed out", "unknown",
	"addresses on", "address error", "/32 seen", "/32 unseen", "late", "off", "off after failure", "off late", "broken", "recoverable", "dependencies started", "no dependents", "run again", "successor announced", "retry", "reactivate"}

func (s stimulus) String() string { return stimulusWords[s] }

// row is one line of the life cycle: in From, when On holds, Do and be in To.
// Of several rows that could match, the first in the table counts.
type row struct {
	From phase
	On   stimulus
	To   phase
	Do   func(*Node, *service)
}

// life is DESIGN section 2 as a table.
var life = [...]row{
	{phaseDisabled, onFound, phaseStop, (*Node).stopFound},
	{phaseDisabled, onReplaced, phaseDisabled, (*Node).setDisabled},
	{phaseDisabled, onEnabled, phaseInactive, (*Node).setInactive},

	{phaseInactive, onUnwanted, phaseDisabled, (*Node).setDisabled},
	{phaseInactive, onFound, phaseFound, (*Node).askFound},
	{phaseInactive, onFoundLate, phaseStop, (*Node).stopFound},
	{phaseInactive, onReadyAgain, phaseInjected, (*Node).inject},
	{phaseInactive, onReady, phaseActivating, (*Node).activate},

	{phaseFound, onDoneAdoptable, phaseStarted, (*Node).adopt},
	{phaseFound, onDone, phaseStop, (*Node).stopFound},
	{phaseFound, onFailed, phaseStop, (*Node).stopFound},
	{phaseFound, onTimeout, phaseStop, (*Node).stopFound},
	{phaseFound, onUnknown, phaseStop, (*Node).stopFound},

	{phaseActivating, onDone, phaseInjected, (*Node).inject},
	{phaseActivating, onFailed, phaseConfigFailed, (*Node).activateFailed},
	{phaseActivating, onTimeout, phaseConfigFailed, (*Node).activateFailed},
	{phaseActivating, onUnknown, phaseConfigFailed, (*Node).activateFailed},

	{phaseInjected, onLost, phaseInactive, nil},
	{phaseInjected, onUnwanted, phaseDeactivating, (*Node).deactivate},
	{phaseInjected, onEchoStuck, phaseFailed, (*Node).offeredStuck},
	{phaseInjected, onEcho, phaseStopped, (*Node).offered},
	{phaseInjected, onNoEcho, phaseConfigFailed, (*Node).refusedForGood},
	{phaseInjected, onRefused, phaseInactive, (*Node).waitForOSPF},

	{phaseStopped, onLost, phaseInactive, nil},
	{phaseStopped, onUnwanted, phaseDeactivating, (*Node).deactivate},
	{phaseStopped, onRun, phaseClaim, (*Node).makeClaim},

	{phaseClaim, onNotRun, phaseStopped, (*Node).dropClaim},
	{phaseClaim, onOutdone, phaseClaim, (*Node).claimAnew},
	{phaseClaim, onClear, phaseDependencies, nil},

	{phaseDependencies, onNotRun, phaseStopped, (*Node).dropClaim},
	{phaseDependencies, onOutdone, phaseClaim, (*Node).claimAnew},
	{phaseDependencies, onDependencies, phaseAddresses, (*Node).begin},

	{phaseAddresses, onNotRun, phaseOff, (*Node).off},
	{phaseAddresses, onAddressError, phaseFailing, (*Node).addressFailed},
	{phaseAddresses, onAddressesOn, phaseStart, (*Node).start},
	{phaseAddresses, onLate, phaseFailing, (*Node).addressLate},

	{phaseStart, onNotRun, phaseStop, (*Node).stop},
	{phaseStart, onDone, phaseAnnounce, (*Node).announce},
	{phaseStart, onFailed, phaseFailing, (*Node).startFailed},
	{phaseStart, onTimeout, phaseFailing, (*Node).startTimeout},
	{phaseStart, onUnknown, phaseFailing, (*Node).startFailed},

	{phaseAnnounce, onNotRun, phaseDependents, (*Node).leave},
	{phaseAnnounce, onSeen, phaseStarted, (*Node).started},
	{phaseAnnounce, onLate, phaseFailing, (*Node).notAnnounced},

	{phaseStarted, onNotRun, phaseDependents, (*Node).leave},
	{phaseStarted, onRecoverable, phaseRecover, (*Node).recover},
	{phaseStarted, onBroken, phaseFailing, (*Node).broken},
	{phaseStarted, onLate, phaseFailing, (*Node).notAnnounced},
	{phaseStarted, onUnseen, phaseStarted, (*Node).watchUnseen},
	{phaseStarted, onSuccessor, phaseStarted, (*Node).watchSuccessor},
	{phaseStarted, onReadyAgain, phaseStarted, (*Node).sayAgain},

	{phaseRecover, onNotRun, phaseDependents, (*Node).leave},
	{phaseRecover, onDone, phaseStarted, (*Node).recovered},
	{phaseRecover, onFailed, phaseFailing, (*Node).notRecovered},
	{phaseRecover, onTimeout, phaseFailing, (*Node).notRecovered},
	{phaseRecover, onUnknown, phaseFailing, (*Node).notRecovered},

	{phaseDependents, onRunAgain, phaseAnnounce, (*Node).announce},
	{phaseDependents, onFree, phaseLinger, (*Node).withdraw},

	{phaseLinger, onRunAgain, phaseAnnounce, (*Node).announce},
	{phaseLinger, onLate, phaseStop, (*Node).stop},

	{phaseStop, onDone, phaseOff, (*Node).stopped},
	{phaseStop, onFailed, phaseFailedOff, (*Node).stopFailed},
	{phaseStop, onTimeout, phaseFailedOff, (*Node).stopFailed},
	{phaseStop, onUnknown, phaseFailedOff, (*Node).stopFailed},

	{phaseOff, onOffFailed, phaseFailed, (*Node).failed},
	{phaseOff, onOff, phaseStopped, (*Node).clean},
	{phaseOff, onOffLate, phaseStopped, (*Node).offLate},

	{phaseFailedDependents, onFree, phaseFailedStop, (*Node).stop},

	{phaseFailedStop, onDone, phaseFailedOff, (*Node).stopped},
	{phaseFailedStop, onFailed, phaseFailedOff, (*Node).stopFailed},
	{phaseFailedStop, onTimeout, phaseFailedOff, (*Node).stopFailed},
	{phaseFailedStop, onUnknown, phaseFailedOff, (*Node).stopFailed},

	{phaseFailedOff, onOff, phaseFailed, (*Node).failed},
	{phaseFailedOff, onOffLate, phaseFailed, (*Node).failed},

	{phaseFailed, onLost, phaseInactive, (*Node).failedAlone},
	{phaseFailed, onUnwanted, phaseDeactivating, (*Node).deactivate},
	{phaseFailed, onReactivate, phaseStopped, (*Node).reactivate},
	{phaseFailed, onRetry, phaseStopped, (*Node).retry},

	{phaseConfigFailed, onUnwanted, phaseDisabled, (*Node).setDisabled},
	{phaseConfigFailed, onReactivate, phaseInactive, (*Node).setInactive},
	{phaseConfigFailed, onRetry, phaseInactive, (*Node).setInactive},

	{phaseDeactivating, onDone, phaseDisabled, (*Node).setDisabled},
	{phaseDeactivating, onFailed, phaseDisabled, (*Node).setDisabled},
	{phaseDeactivating, onTimeout, phaseDisabled, (*Node).setDisabled},
	{phaseDeactivating, onUnknown, phaseDisabled, (*Node).setDisabled},
}

// rowsOf is life by phase.
var rowsOf = func() (by [phaseCount][]row) {
	for _, r := range life {
		by[r.From] = append(by[r.From], r)
	}
	return by
}()
