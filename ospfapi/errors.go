package ospfapi

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Errors a caller branches on.
var (
	// ErrUnknownRequest ends a Call whose request the server does not know: it
	// never replies to such, which shows when a later request gets its reply.
	ErrUnknownRequest = errors.New("this ospfd does not know the request")
	// ErrNotConfirmed refuses requests before Config.OSPFReady has returned
	// nil on this connection: they would crash an ospfd without "router ospf".
	ErrNotConfirmed = errors.New("ospfd is not yet confirmed to have \"router ospf\"")
	// ErrClosed is the reason after Close.
	ErrClosed = errors.New("ospf-api connection closed by us")
	// ErrBusy refuses a request while MaxPending others wait for their reply.
	ErrBusy = errors.New("too many ospf-api requests are waiting for a reply")
	// ErrOverflow ends a sync during which notifications had to be dropped.
	ErrOverflow = errors.New("notifications were dropped because their consumer is too slow")
	// ErrSyncRunning refuses a second Sync while one is running.
	ErrSyncRunning = errors.New("an LSDB sync is already running")
	// ErrTruncated is wrapped by the errors of decoding a message that ends early.
	ErrTruncated = errors.New("message ends early")
	// ErrVersion is wrapped by the error of a header that is not OSPF-API version 1.
	ErrVersion = errors.New("not ospf-api version 1")
	// ErrUnknownType is wrapped by the error of decoding an unknown message type.
	ErrUnknownType = errors.New("unknown message type")
)

// ReplyError is a refusal by ospfd. It unwraps to its Code.
type ReplyError struct {
	Op   MsgType
	Code ErrCode
}

// Error names the request, the meaning and ospfd's own word.
func (e *ReplyError) Error() string {
	return fmt.Sprintf("ospfd refused %v: %s (%v)", e.Op, e.Code.Error(), e.Code)
}

// Unwrap returns the code.
func (e *ReplyError) Unwrap() error { return e.Code }

// RequestError is a request refused by the client itself; nothing was sent.
type RequestError struct {
	Op  MsgType
	Why string
}

// Error names the request and the rule it breaks.
func (e *RequestError) Error() string { return fmt.Sprintf("%v not sent: %s", e.Op, e.Why) }

// DecodeError is a message that cannot be understood.
type DecodeError struct {
	Type MsgType
	Seq  uint32
	Err  error
}

// Error names the message and what is wrong with it.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("%v (seq %d): %v", e.Type, e.Seq, e.Err)
}

// Unwrap returns what is wrong.
func (e *DecodeError) Unwrap() error { return e.Err }

// StreamError is the end of one of the two streams. It unwraps to the cause;
// io.EOF means that ospfd closed it, as it does when it ends.
type StreamError struct {
	Stream string // "sync" or "async"
	Err    error
}

// Error names the stream.
func (e *StreamError) Error() string { return fmt.Sprintf("ospf-api %s stream: %v", e.Stream, e.Err) }

// Unwrap returns the cause.
func (e *StreamError) Unwrap() error { return e.Err }

// StrangerError reports somebody who is not ospfd and connected to the
// asynchronous port. The connection was closed and accepting went on.
type StrangerError struct {
	Peer netip.AddrPort
	Port uint16
}

// Error names the stranger.
func (e *StrangerError) Error() string {
	return fmt.Sprintf("%v connected to ospf-api notification port %d and is not ospfd: dropped", e.Peer, e.Port)
}

// Attempt is one port pair that Dial tried.
type Attempt struct {
	Port uint16 // the even port of the pair
	Err  error
}

// DialError tells every port pair tried. It unwraps to the errors of all.
type DialError struct {
	Server netip.AddrPort
	Tried  []Attempt
}

// Error lists the pairs with their errors, each pair once.
func (e *DialError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ospf-api at %v: ", e.Server)
	for i, a := range e.Tried {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "ports %d,%d: %v", a.Port, a.Port+1, a.Err)
	}
	return b.String()
}

// Unwrap returns the errors of every attempt.
func (e *DialError) Unwrap() []error {
	errs := make([]error, len(e.Tried))
	for i, a := range e.Tried {
		errs[i] = a.Err
	}
	return errs
}
