package guest

import "strconv"

// What systemd makes of the sandbox, from 0 (safe) to 10, times ten: as measured, of
// the unit as it is, whose primitives are to be able to do what root can, and with
// unprivileged.conf. They may become safer, and not laxer without anybody noticing.
const (
	exposedAsRoot = 96
	exposedAsUser = 20
)

var checks = []check{
	{"srrd is installed, and its unit starts", true, func(t *trial) {
		t.must("installing as the README says", ". $files/install.sh")
		t.must("the router", ". $files/router.sh")
		t.must("systemctl restart frr", "systemctl restart frr")
		t.must("systemctl enable --now srrd", "mark; systemctl enable --now srrd")
		t.settled()
	}},
	{"the unit is as it says: notify, watchdog, sandbox", false, func(t *trial) {
		t.settled()
		t.is("the unit", "show Type; show WatchdogUSec; show TimeoutAbortUSec; show NRestarts; show SubState", "notify\n5s\n2s\n0\nrunning")
		t.exposure(exposedAsRoot)
		t.is("srrd has the machine's own mounts", "readlink /proc/$(pid)/ns/mnt", t.now("readlink /proc/1/ns/mnt"))
		t.must("LockPersonality, by a filter", "grep -E 'Seccomp:\t2' /proc/$(pid)/status")
	}},
	{"a primitive runs as whom its service names, outside of srrd's privileges", false, func(t *trial) {
		t.settled()
		t.is("what `start` of web left running", "stat -c %U /proc/$(of web); grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/$(of web)/status | head -n 1; readlink /proc/$(of web)/ns/mnt",
			"nobody\nCapEff:\t0000000000000000\n"+t.now("readlink /proc/1/ns/mnt"))
		t.is("the unit of service unit", "cat /proc/$(systemctl show -P MainPID demo)/cgroup", "0::/system.slice/demo.service")
	}},
	{"systemctl reload: nothing moves, and a bad file changes nothing", false, func(t *trial) {
		same := t.hitless()
		t.must("systemctl reload", "mark; systemctl reload srrd")
		t.await("told", "log | grep 'configuration reloaded'")
		t.must("systemctl reload with a bad file", "echo 'addresses: nonsense' >/etc/srrd/services.d/bad.yaml; systemctl reload srrd")
		t.await("refused", "log | grep 'the configuration was not reloaded' | grep bad.yaml")
		t.must("the bad file goes", "rm /etc/srrd/services.d/bad.yaml")
		same()
	}},
	{"SIGUSR2 with a new binary: taken over in the same process, and nothing moves", false, func(t *trial) {
		same := t.hitless()
		t.must("a new binary", "cp /usr/sbin/srrd /usr/sbin/.new && mv /usr/sbin/.new /usr/sbin/srrd; readlink /proc/$(pid)/exe | grep deleted")
		t.must("SIGUSR2", "mark; systemctl kill --kill-whom=main -s USR2 srrd")
		t.tell("after %.1f s", t.await("told", "log | grep 'has taken over'").Seconds())
		t.is("what runs", "readlink /proc/$(pid)/exe", "/usr/sbin/srrd")
		same()
		t.await("the watchdog has its time again", "[ $(show WatchdogUSec) = 5s ]")
	}},
	{"srrd is stopped (SIGSTOP): the watchdog ends it, and the next one finds what runs", false, func(t *trial) {
		t.back("kill -STOP $(pid)", "Watchdog timeout")
	}},
	{"srrd hangs beyond any signal but SIGKILL: so too", false, func(t *trial) {
		// Frozen, in a control group of its own, since its services are in the unit's.
		t.back("mkdir -p /sys/fs/cgroup/ice && echo $(pid) >/sys/fs/cgroup/ice/cgroup.procs && echo 1 >/sys/fs/cgroup/ice/cgroup.freeze", "Watchdog timeout")
		t.must("the ice", "echo 0 >/sys/fs/cgroup/ice/cgroup.freeze; rmdir /sys/fs/cgroup/ice")
	}},
	{"kill -9 of srrd: ExecStopPost leaves what runs, and the next one finds it", false, func(t *trial) {
		t.back("kill -9 $(pid)", "service web may run here")
	}},
	{"kill -9 with nobody to start it again: no LSA and no announcement stays, and cleanup leaves nothing", false, func(t *trial) {
		t.settled()
		t.must("Restart=no", "mkdir -p /run/systemd/system/srrd.service.d; printf '[Service]\\nRestart=no\\n' >/run/systemd/system/srrd.service.d/no.conf; systemctl daemon-reload")
		t.must("kill -9", "mark; kill -9 $(pid)")
		t.await("the unit has failed", "[ $(show ActiveState) = failed ]")
		t.must("ExecStopPost ended well", "systemctl show -p ExecStopPost srrd | grep 'status=0'")
		t.tell("off the network after %.1f s", t.await("off the network", "! routed 10.250.0.1 && ! routed 10.250.0.2 && ! routed 10.250.0.3 && [ -z \"$(lsas)\" ] && ! ip addr show vip0 | grep 10.250.0.2").Seconds())
		t.must("web still runs", "kill -0 $(of web)")
		t.must("srrd cleanup --stop", "srrd cleanup --stop")
		t.await("nothing is left", "gone && ! kill -0 $(of web) && ! systemctl -q is-active demo")
		t.must("start", "rm /run/systemd/system/srrd.service.d/no.conf; systemctl daemon-reload; mark; systemctl start srrd")
		t.settled()
	}},
	{"systemctl stop: services end, and nothing is left", false, func(t *trial) {
		t.settled()
		t.must("systemctl stop", "mark; of web >/srv/lab/web; systemctl stop srrd")
		t.is("the unit", "show Result; show ActiveState", "success\ninactive")
		t.must("services ended", "! kill -0 $(cat /srv/lab/web) && ! systemctl -q is-active demo")
		t.await("nothing is left", "gone")
		t.must("systemctl start", "mark; systemctl start srrd")
		t.settled()
	}},
	{"systemctl restart frr: all comes back by itself", false, func(t *trial) { t.comesBack("systemctl restart frr", "session with ospfd") }},
	{"kill -9 of ospfd, which watchfrr starts again: so too", false, func(t *trial) {
		t.comesBack("kill -9 $(cat /run/frr/ospfd.pid)", "session with ospfd")
	}},
	{"a watched unit dies, and is stopped by somebody: noticed, and back", false, func(t *trial) {
		t.comesBack("kill -9 $(systemctl show -P MainPID demo)", "unit demo.service is failed")
		t.comesBack("systemctl stop demo", "unit demo.service is (inactive|deactivating)")
	}},
	{"systemctl restart systemd-networkd, which manages lo, eth0 and vip0: all comes back, said so, and nothing else is changed", false, func(t *trial) {
		t.networkd("systemctl restart systemd-networkd", "vip0 .*10.250.0.2")
	}},
	{"networkctl reconfigure of all three: so too", false, func(t *trial) {
		t.networkd("networkctl reconfigure lo eth0 vip0", "vip0 .*10.250.0.2")
	}},
	{"networkctl reload of changed .network files: so too", false, func(t *trial) {
		t.networkd("touch /etc/systemd/network/*.network; networkctl reload", "vip0 .*10.250.0.2")
	}},
	{"a reboot: in order down, and up by itself", false, func(t *trial) {
		t.settled()
		if t.err == nil {
			t.err = t.m.Reboot(t.ctx)
		}
		t.must("the router", "mark; . $files/router.sh")
		t.settled()
		t.must("srrd stopped its services", "journalctl -b -1 -u srrd -o cat | tail -n 30 | tee /dev/stderr | grep -q 'Deactivated successfully'")
		// Which of the two ends first is the business of FRR's unit.
		t.must("srrd ended before FRR and the network", `journalctl -b -1 -o cat _PID=1 | grep -E '^Stopped (srrd|frr|systemd-networkd).service' | tail -n 3 | head -n 1 | grep srrd`)
	}},
	{"unprivileged.conf, installed by its own head: a user of its own, one capability, and the same services", true, func(t *trial) {
		t.must("installing", "mark; . $files/unprivileged.sh")
		t.settled()
		t.exposure(exposedAsUser)
		t.is("srrd", "stat -c %U:%G /proc/$(pid); grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp:)' /proc/$(pid)/status", "srrd:srrd\nCapEff:\t0000000000001000\nCapBnd:\t0000000000001000\nNoNewPrivs:\t1\nSeccomp:\t2")
		t.is("what `start` of web left running", "stat -c %U /proc/$(of web); grep ^CapEff /proc/$(of web)/status", "srrd\nCapEff:\t0000000000000000")
		t.is("the unit of service unit, by polkit", "cat /proc/$(systemctl show -P MainPID demo)/cgroup; readlink /proc/$(systemctl show -P MainPID demo)/ns/net", "0::/system.slice/demo.service\n"+t.now("readlink /proc/1/ns/net"))
		for _, path := range []string{"/etc/srrd/x", "/usr/x", "/var/x"} {
			t.must("it cannot write "+path, "! nsenter -t $(pid) -m touch "+path)
		}
		t.must("it has the memory of its life as root", "! log | grep 'the memory of earlier lives is not used'")
		t.must("polkit lets it at no other unit", "! setpriv --reuid srrd --regid srrd --clear-groups systemctl --no-ask-password stop systemd-networkd && systemctl -q is-active systemd-networkd")
	}},
	{"unprivileged: `user:` is refused with the reason", false, func(t *trial) {
		t.settled()
		t.must("a service of user nobody", "printf 'user: nobody\\ndir: /usr/share/srrd/service/address-only\\naddresses: 10.250.0.9\\n' >/etc/srrd/services.d/other.yaml; mark; systemctl reload srrd")
		t.await("refused", "log | grep 'cannot run anything as user nobody: only root can'")
		t.must("it goes", "rm /etc/srrd/services.d/other.yaml; systemctl reload srrd")
		t.settled()
	}},
	{"unprivileged: a takeover in which nothing moves", false, func(t *trial) {
		same := t.hitless()
		t.must("SIGUSR2", "mark; systemctl kill --kill-whom=main -s USR2 srrd")
		t.await("told", "log | grep 'has taken over'")
		same()
	}},
	{"unprivileged: kill -9 of srrd", false, func(t *trial) { t.back("kill -9 $(pid)", "service web may run here") }},
	{"unprivileged: systemctl restart frr", false, func(t *trial) { t.comesBack("systemctl restart frr", "session with ospfd") }},
	{"unprivileged: systemctl restart systemd-networkd", false, func(t *trial) { t.networkd("systemctl restart systemd-networkd", "vip0 .*10.250.0.2") }},
	{"unprivileged: systemctl stop leaves nothing", false, func(t *trial) {
		t.settled()
		t.must("systemctl stop", "mark; of web >/srv/lab/web; systemctl stop srrd")
		t.is("the unit", "show Result; show ActiveState", "success\ninactive")
		t.must("services ended", "! kill -0 $(cat /srv/lab/web) && ! systemctl -q is-active demo")
		t.await("nothing is left", "gone")
	}},
}

// settled waits until all services run.
func (t *trial) settled() {
	t.await("all services run, for the router too", "started web vip unit || { srrsh -c 'show service'; false; }")
}

// exposure tells what systemd thinks of the unit, and wants no more than that.
func (t *trial) exposure(most int) {
	t.must("the sandbox", "systemd-analyze security --no-pager --threshold="+strconv.Itoa(most)+" srrd.service")
	t.tell("exposure %s", t.now(`systemd-analyze security --no-pager srrd.service | sed -n 's/.*Overall exposure level[^0-9]*\([0-9.]*\) .*/\1/p'`))
}

// hitless remembers what is there, and gives what wants it unchanged: the process,
// the services, LSAs, addresses and routes, which must not even have gone and come.
func (t *trial) hitless() (same func()) {
	t.settled()
	t.await("old words have gone", "lsas; [ $(lsas | wc -l) = 4 ]")
	const now = "pid; show NRestarts; of web; systemctl show -P MainPID demo; lsas"
	before := t.must("what is there", "listen; "+now)
	return func() {
		t.must("no address or route of a service went or came", "! heard")
		t.is("process, services and LSAs", now, before)
	}
}

// back ends srrd in some way, and wants it started by systemd, with services that
// never stopped. The unit's log is to say so.
func (t *trial) back(how, said string) {
	t.settled()
	before := t.must("what runs", "of web; systemctl show -P MainPID demo")
	took := t.await("done", "show NRestarts >/srv/lab/restarts; mark; "+how)
	took += t.await("systemd starts it again", "[ $(show NRestarts) = $(($(cat /srv/lab/restarts)+1)) ] && [ $(show ActiveState) = active ]")
	t.tell("started again after %.1f s", took.Seconds())
	t.await("told", "log | grep '"+said+"'")
	t.settled()
	t.is("services", "of web; systemctl show -P MainPID demo", before)
}

// comesBack does something to what srrd stands on, waits until the log says that
// it was seen, and for all to be back, with the same srrd.
func (t *trial) comesBack(how, said string) {
	t.settled()
	srrd := t.must("what runs", "mark; pid")
	t.must(how, how)
	took := t.await("noticed", "log | grep -E '"+said+"'")
	took += t.await("back", "started web vip unit")
	t.tell("back after %.1f s", took.Seconds())
	t.is("srrd", "pid", srrd)
}

// networkd does what makes networkd remove what is not its own, waits until the
// kernel has told of a removal that shows that it did, and for all to be as it was.
// What srrd put back it must have said, and all else must be as the operator has it.
func (t *trial) networkd(how, removed string) {
	t.settled()
	srrd := t.must("what runs", "mark; operators >/srv/lab/before; listen; pid")
	t.must(how, how)
	took := t.await("networkd has removed "+removed, "grep -E 'Deleted .*"+removed+"' /srv/lab/heard")
	took += t.await("all is as the operator has it", "for i in lo eth0 vip0; do networkctl status $i | grep -q '(configured)' || exit 1; done; operators | diff /srv/lab/before -")
	took += t.await("back", "started web vip unit")
	t.tell("back after %.1f s", took.Seconds())
	t.await("the address of vip, if it was removed, was put back with a word", "! grep -E 'Deleted .*vip0 .*10.250.0.2' /srv/lab/heard || log | grep '10.250.0.2/32 on vip0 has gone without our doing, putting it back'")
	t.await("way local on lo was let be, or put back with a word", "! grep -E 'Deleted local 10.250.0.[123] dev lo' /srv/lab/heard || log | grep 'local route .* has gone without our doing, putting it back'")
	t.is("srrd", "pid", srrd)
}
