# What an administrator does, by the README.
set -e
mkdir -p /var/log/journal && systemctl restart systemd-journald
cp -a /srv/lab/tree/. /
systemctl daemon-reload
cat /usr/share/doc/srrd/frr/daemons >>/etc/frr/daemons
install -o frr -g frr -m 640 /usr/share/doc/srrd/frr/node.conf /etc/frr/frr.conf
cat $files/more.conf >>/etc/frr/frr.conf
cp -r $files/services.d/. /etc/srrd/services.d/
cp $files/demo.service /etc/systemd/system/
cp $files/network/* /etc/systemd/network/
systemctl restart systemd-networkd
