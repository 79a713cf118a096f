#!/bin/sh
# After the files are in place: the user, and the service if systemd runs.
set -e
if ! getent group spoold >/dev/null; then
	groupadd --system spoold
fi
if ! getent passwd spoold >/dev/null; then
	useradd --system --gid spoold --home-dir /var/lib/spoold --no-create-home --shell /usr/sbin/nologin spoold
fi
install -d -o spoold -g spoold -m 0700 /var/lib/spoold
chgrp spoold /etc/spoold /etc/spoold/spoold.yaml
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	# An upgrade: a running daemon is restarted. A new installation is not started,
	# since its configuration names no cluster of yours yet.
	systemctl try-restart spoold.service || true
fi
exit 0
