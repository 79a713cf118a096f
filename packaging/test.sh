#!/usr/bin/env bash
# Installs the packages of dist/ on this machine, uses the daemon as a stranger
# would, upgrades and removes it. Needs root, and a Debian or a system with dpkg.
# The cluster is spoold's own development broker, in another process.
set -euo pipefail
cd "$(dirname "$0")/.."

deb=$(ls dist/spoold_*_amd64.deb)
work=$(mktemp -d)
said() { printf -- '- %s\n' "$*"; }
fail() {
	echo "FAILED: $*" >&2
	tail -n 20 "$work"/*.log >&2 || true
	exit 1
}
cleanup() {
	for pid in "${broker:-}" "${daemon:-}"; do
		[ -z "$pid" ] || kill "$pid" 2>/dev/null || true
	done
	dpkg --purge spoold >/dev/null 2>&1 || true
	rm -rf "$work" /var/lib/spoold
	userdel spoold 2>/dev/null || true
}
trap cleanup EXIT
[ ! -e /var/lib/spoold ] || { trap - EXIT; fail "/var/lib/spoold exists: this machine has a spool, which the test would remove"; }

# The commands are the README's own, with this package and this broker in their places.
readme=$(awk '/^### Install it/ {here = 1} here && /^```sh/ {block = 1; next} block && /^```/ {exit} block' README.md)
shown() { # shown WORD: the line of the README that begins with it
	local line
	line=$(grep "^$1 " <<<"$readme") || fail "the README does not show $1 under Install it"
	line=${line//spoold_VERSION_amd64.deb/$deb}
	echo "${line//kafka1:9092/127.0.0.1:9092}"
}

began=$(date +%s)
eval "$(shown dpkg)" >"$work/install.log"
said "installed $deb"
[ "$(stat -c '%U %a' /var/lib/spoold)" = "spoold 700" ] || fail "the state directory is not spoold's alone"
[ "$(stat -c '%U:%G %a' /etc/spoold/spoold.yaml)" = "root:spoold 640" ] || fail "the configuration is not readable by root and spoold alone"
version=$(dpkg-query -W -f '${Version}' spoold)
spoold version | grep -F "spoold $version " || fail "the package is $version, and the program says $(spoold version)"
dpkg-deb --fsys-tarfile "$deb" | tar -xO --wildcards '*/man1/spoold.1.gz' | gunzip | grep '^.TH spoold 1' >/dev/null || fail "there is no manual page, which the unit names"
packaging/completion.sh >"$work/completion.log" 2>&1 || fail "completion: $(cat "$work/completion.log")"
said "bash, zsh and fish complete what the package brings"
for file in prometheus/alerts.yml prometheus/kafka-producer.rules.yml grafana/spoold.json; do
	[ -s "/usr/share/spoold/$file" ] || fail "the package lacks /usr/share/spoold/$file"
done
eval "$(shown sed)"
grep -q 127.0.0.1:9092 /etc/spoold/spoold.yaml || fail "the README's command does not set the broker"

python3 - "$work" <<'PY' &
import socket, sys, os
path = sys.argv[1] + "/notify"
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(path); os.chmod(path, 0o777); s.settimeout(60)
with open(sys.argv[1] + "/states.log", "w") as f:
    while True:
        m = s.recv(4096).decode()
        f.write(m + "\n"); f.flush()
        if "STOPPING=1" in m: break
PY
listener=$!
chmod 711 "$work"
until [ -S "$work/notify" ]; do sleep 0.05; done

spoold serve --dev -b 127.0.0.1:9092 --http off --admin off --spool "$work/dev" >"$work/broker.log" 2>&1 &
broker=$!
as_spoold() { exec env NOTIFY_SOCKET="$work/notify" WATCHDOG_USEC=2000000 setpriv --reuid spoold --regid spoold --init-groups --no-new-privs "$@"; }
# There may be no systemd here: what the README's command starts is started as the unit says.
[ "$(shown systemctl)" = "systemctl enable --now spoold" ] || fail "the README starts something else: $(shown systemctl)"
start=$(sed -n 's/^ExecStart=//p' /lib/systemd/system/spoold.service)
as_spoold $start >"$work/daemon.log" 2>&1 &
daemon=$!

until grep -q READY=1 "$work/states.log"; do
	kill -0 $daemon 2>/dev/null || fail "the daemon ended"
	sleep 0.05
done
said "READY=1 after $(($(date +%s) - began)) s"
answer=$(eval "$(shown curl) --max-time 30")
case $answer in
*'"error_code":null'*) ;;
*) fail "the record was not acked: $answer" ;;
esac
took=$(($(date +%s) - began))
said "from the package to the first acked record: $took s"
[ $took -lt 60 ] || fail "that is more than a minute"
until grep -q WATCHDOG=1 "$work/states.log"; do
	kill -0 $daemon 2>/dev/null || fail "the daemon ended"
	sleep 0.1
done
said "the watchdog is reset: $(grep -m1 STATUS= "$work/states.log")"

kill -TERM $daemon
wait $daemon || fail "the daemon ended with $?"
daemon=
wait $listener
grep -q STOPPING=1 "$work/states.log" || fail "STOPPING=1 was not sent"

echo '# changed by the operator' >>/etc/spoold/spoold.yaml
# A record that no cluster has is in the spool while the package is changed: for a later version, which is this one under another
# number, and back.
kill $broker
wait $broker || true
broker=
as_spoold spoold produce -b 127.0.0.1:9092 -t kept --timeout 1s --spool /var/lib/spoold/produced <<<'kept' >"$work/produce.log" 2>&1 &
wait $! && fail "a record was acked with no cluster"
before=$(find /var/lib/spoold -type f -exec sha256sum {} + | sort)
cp -a "$deb" "$work/first.deb"
dpkg-deb -R "$deb" "$work/later"
sed -i "s/^Version: .*/Version: $version.later/" "$work/later/DEBIAN/control"
dpkg-deb -b "$work/later" "$work/later.deb" >>"$work/install.log"
for package in later first; do
	dpkg -i "$work/$package.deb" >>"$work/install.log" 2>&1 || fail "$package.deb does not install over the other"
	grep -q 'changed by the operator' /etc/spoold/spoold.yaml || fail "the configuration was overwritten"
	[ "$(find /var/lib/spoold -type f -exec sha256sum {} + | sort)" = "$before" ] || fail "the spool was touched"
done
[ "$(dpkg-query -W -f '${Version}' spoold)" = "$version" ] || fail "it is still the later version"
said "an upgrade and a downgrade keep configuration and spool"
dpkg --remove spoold >>"$work/install.log" 2>&1
[ ! -e /usr/bin/spoold ] || fail "the binary is still there"
dpkg --purge spoold >"$work/purge.log" 2>&1
[ -n "$(ls -A /var/lib/spoold)" ] || fail "purge removed the spool"
grep -q 'is kept' "$work/purge.log" || fail "purge does not say that the spool is kept"
said "purge keeps the spool, and says so"

if command -v rpm >/dev/null; then
	rpm -qp --requires "$(ls dist/spoold-*.x86_64.rpm)" >"$work/rpm.log"
	mkdir "$work/root"
	rpm --root "$work/root" -i --nodeps --noscripts "$(ls dist/spoold-*.x86_64.rpm)" >>"$work/rpm.log" 2>&1
	"$work/root/usr/bin/spoold" version
	rpm --root "$work/root" -e --noscripts spoold
	[ ! -e "$work/root/usr/bin/spoold" ] || fail "the rpm left its binary behind"
	said "the rpm installs and leaves"
else
	fail "rpm is missing: apt-get install rpm"
fi

exposure=$(systemd-analyze security --offline=true packaging/systemd/spoold.service | awk '/Overall exposure/ {for (i = 1; i <= NF; i++) if ($i ~ /^[0-9.]+$/) print $i}')
said "systemd-analyze security: exposure $exposure"
awk -v e="$exposure" 'BEGIN {exit !(e != "" && e <= 1.5)}' || fail "the exposure is above 1.5"

rootfs=dist/linux-amd64/rootfs
chroot --userspec=10001:10001 "$rootfs" /usr/bin/spoold version >/dev/null || fail "the container's root file system does not run"
said "the container's root file system runs as a user without rights"
echo "packaging: passed"
