#!/bin/sh
# Before the files go. Debian calls it with "upgrade" or "remove", rpm with the
# number of versions that stay.
set -e
case "${1:-}" in
upgrade | 1) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
	systemctl disable --now spoold.socket spoold.service || true
fi
exit 0
