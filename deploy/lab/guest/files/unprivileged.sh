# What the head of unprivileged.conf says, word for word; before, what its services
# need then.
set -e
systemctl stop srrd
rm -f /tmp/web.pid
sed -i '/^user:/d; s|/tmp/web.pid|/var/lib/srrd/web.pid|' /etc/srrd/services.d/web.yaml
sed -i 's|/tmp/web.pid|$(SRRD_STATE_DIR)/web.pid|' /etc/srrd/services.d/web/Makefile
systemctl start srrd
until started web vip unit; do sleep 0.5; done
cd /usr/share/doc/srrd/systemd
sed 's/nginx.service/demo.service/' polkit.rules >/etc/polkit-1/rules.d/50-srrd.rules
sed -n '1,/^# Primitives/s/^#\t//p' unprivileged.conf >/srv/lab/head
grep -q 'systemctl start srrd' /srv/lab/head
. /srv/lab/head
