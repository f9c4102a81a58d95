package daemon

import "golang.org/x/sys/unix"

const (
	// mostClients of srrsh are there at once, as vty has it too.
	mostClients = 64
	// ownDescriptors is how many srrd needs for itself: sessions with FRR, the
	// kernel, files, and some for each primitive that runs.
	ownDescriptors = 44
	// fewestGuests are let in whatever the limit is.
	fewestGuests = 4
)

// guests is how many connections each of shell and pages may take: half of the
// descriptors that srrd does not need itself, so that no crowd keeps it from
// stopping a service.
func guests() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fewestGuests
	}
	return max(fewestGuests, int(min(limit.Cur, 1<<20)-min(limit.Cur, ownDescriptors))/2)
}
