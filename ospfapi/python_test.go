package ospfapi_test

import (
	"encoding/hex"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/srrd/srrd/ospfapi"
)

// ospfclientScript uses FRR's own client as a library: it prints every opaque
// LSA of a sync in hex, each line with a word before it, ended by the answer to
// SYNC_ROUTER_ID; and the ORIGINATE_REQUEST body it would send.
const ospfclientScript = `
import asyncio, struct, sys
sys.path.insert(0, sys.argv[1])
import ospfclient as o

# ospfclient.py drops the writer of the async stream; since Python 3.11.6 that
# closes the stream.
kept, open_connection = [], asyncio.open_connection
async def keep(*args, **kwargs):
    pair = await open_connection(*args, **kwargs)
    kept.append(pair[1])
    return pair
asyncio.open_connection = keep

async def main():
    c = o.OspfOpaqueClient("127.0.0.1")
    await c.connect()
    done = asyncio.Event()
    def lsa(mt, ifaddr, area, header, extra, lsa):
        if mt == o.MSG_LSA_UPDATE_NOTIFY and header[2] in (9, 10, 11):
            print("LSA", lsa.hex())
    async def rid(new, old):
        done.set()
    loop = asyncio.create_task(c._handle_msg_loop())
    await c.monitor_lsa(lsa)
    await c.monitor_router_id(rid)
    await done.wait()
    loop.cancel()
    data = b"srrd wire golden"
    body = struct.pack(o.msg_fmt[o.MSG_ORIGINATE_REQUEST], 0, 0, *c._opaque_args(11, 222, 1, data)) + data
    print("ORIGINATE", body.hex())

asyncio.run(main())
`

// besideOSPFClient compares what we see in a router's database, and send, with
// what FRR's ospfclient.py sees and sends, byte for byte. By hand the same is
// seen with: ospfclient.py -v --exit wait,1
func besideOSPFClient(t *testing.T, r *realRouter, s *session) {
	t.Helper()
	out, err := exec.Command("ip", "netns", "exec", r.ns, "python3", "-B", "-c", ospfclientScript, frrDir).CombinedOutput()
	if err != nil {
		t.Fatalf("python3 with %s (package frr): %v\n%s", filepath.Join(frrDir, "ospfclient.py"), err, out)
	}
	s.forget()
	must(t, s.SyncAll(t.Context(), ospfapi.Filter{Types: ospfapi.MaskOf(9, 10, 11), Origin: ospfapi.AnyOrigin}))
	var ours, theirs []string
	for _, n := range s.all() {
		if u, ok := n.(ospfapi.LSAUpdate); ok {
			ours = append(ours, hex.EncodeToString(u.LSA[2:])) // the age may differ by a second
		}
	}
	var originate string
	for line := range strings.Lines(string(out)) {
		switch word, octets, _ := strings.Cut(strings.TrimSpace(line), " "); word {
		case "LSA":
			theirs = append(theirs, octets[4:])
		case "ORIGINATE":
			originate = octets
		}
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	if len(ours) == 0 || !slices.Equal(slices.Compact(ours), slices.Compact(theirs)) {
		t.Errorf("we see\n%s\nospfclient.py sees\n%s", strings.Join(ours, "\n"), strings.Join(theirs, "\n"))
	}
	if golden := hex.EncodeToString(readGolden(t, "originate-as")[ospfapi.HeaderLen:]); golden != originate {
		t.Errorf("we send      %s\nit would send %s", golden, originate)
	}
}
