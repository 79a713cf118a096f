#!/bin/sh
# After the files are gone. The spool stays, also on purge: it may hold records that
# no cluster has.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
if [ -n "$(ls -A /var/lib/spoold 2>/dev/null)" ]; then
	echo "spoold: the spool in /var/lib/spoold is kept, it may hold records that were not delivered; remove it by hand when they are" >&2
elif [ "${1:-}" = purge ]; then
	rmdir /var/lib/spoold 2>/dev/null || true
	userdel spoold 2>/dev/null || true
fi
exit 0
