# The router on the other end of eth0, in a namespace; not there after a boot.
set -e
ip netns add r1
ip link add eth0 type veth peer name eth0 netns r1
ip -n r1 link set lo up
ip -n r1 addr add 10.1.1.1/24 dev eth0
ip -n r1 link set eth0 up
install -d -o frr -g frrvty -m 750 /etc/frr/r1
install -d -o frr -g frr -m 755 /run/frr/r1
install -o frr -g frr -m 640 $files/r1.conf /etc/frr/r1/frr.conf
: >/etc/frr/r1/vtysh.conf
for d in zebra ospfd; do ip netns exec r1 systemd-run -q --unit r1-$d --scope /usr/lib/frr/$d -d -N r1; done
vtysh -N r1 -b
