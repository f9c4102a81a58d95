# What the checks say in the machine; every script of theirs begins with it.
# shellcheck shell=bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C SYSTEMD_COLORS=0 SYSTEMD_PAGER=
files=/srv/lab/files

# router COMMAND: FRR's on the other end of eth0.
router() { vtysh -N r1 -c "$1"; }
# pid: srrd's, as systemd has it.
pid() { systemctl show -P MainPID srrd; }
show() { systemctl show -P "$1" srrd; }
# log: what srrd and systemd said of the unit since mark. (A cursor will not do:
# systemd 252 leaves out an entry where that of the cursor is another unit's.)
mark() { date +@%s.%6N >/srv/lab/mark; }
log() { journalctl -u "${1-srrd}" -o cat --since "$(cat /srv/lab/mark)"; }
# of SERVICE: the pid of what its primitives started.
of() { cat /var/lib/srrd/$1.pid 2>/dev/null || cat /tmp/$1.pid; }

started() { # SERVICE...: on the node, and for the router
	local s shown
	shown=$(srrsh -c "show service") || return 1
	for s; do
		grep -Eq "^[ *]*$s .* active/started" <<<"$shown" || { echo "$shown"; return 1; }
		case $s in web) a=10.250.0.1 ;; vip) a=10.250.0.2 ;; unit) a=10.250.0.3 ;; esac
		routed $a || { echo "the router has no route to $a"; return 1; }
		held $a || { echo "$a is not on the node"; return 1; }
	done
}
routed() { router "show ip route $1/32" | grep -q '^Routing entry'; }
held() { ip route show table local "$1" | grep -q .; }
# lsas: what the router has of srrd's and is not flushed, with sequence numbers.
lsas() { router "show ip ospf database" | awk '/^222\./ && $3 < 3600 {print $1, $2, $4}' | sort; }
gone() { # nothing is left of any service
	local left
	left=$(ip -o addr show | grep -F 10.250.0; ip route show table all | grep -F 10.250.0; lsas
		router "show ip route" | grep -F 10.250.0
		vtysh -c "show running-config" | grep -E "10\.250\.0|prefix-list.*SRRD-VIP.*permit")
	[ -z "$left" ] || { echo "left: $left"; return 1; }
}
# listen, heard: what becomes of addresses and routes of services meanwhile, here
# and on the router.
listen() {
	systemctl stop lab-listen lab-listen-r1 2>/dev/null
	systemd-run -q --unit lab-listen -p StandardOutput=truncate:/srv/lab/heard ip -o monitor address route
	systemd-run -q --unit lab-listen-r1 -p StandardOutput=truncate:/srv/lab/heard-r1 ip -n r1 -o monitor address route
	until grep -q 10.254.0.1 /srv/lab/heard && grep -q 10.254.0.1 /srv/lab/heard-r1; do
		ip route replace blackhole 10.254.0.1 && ip route del blackhole 10.254.0.1
		ip -n r1 route replace blackhole 10.254.0.1 && ip -n r1 route del blackhole 10.254.0.1
		sleep 0.1
	done
}
heard() {
	systemctl stop lab-listen lab-listen-r1 2>/dev/null
	# An address with a lifetime is told of whenever that is renewed.
	cat /srv/lab/heard /srv/lab/heard-r1 | grep -F 10.250.0 | grep -v '^[0-9]*: vip0 .*valid_lft'
}
# operators: addresses, links and routes that are nobody's but the operator's.
operators() {
	ip -o addr show | grep -vF 10.250.0 | sed 's/valid_lft.*//' | sort
	ip route show table all | grep -vE '10\.250\.0|proto ospf|^(multicast|anycast)|fe80|ff00' | sed 's/ expires [^ ]*//' | sort
	ip rule
}
