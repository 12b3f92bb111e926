#!/bin/sh
# Called with "remove" by dpkg, with 0 by rpm, when the package goes. An upgrade stops
# nothing: postinst restarts what runs.
set -e

case "$1" in
remove | 0) ;;
*) exit 0 ;;
esac

if command -v systemctl >/dev/null; then
	if [ -d /run/systemd/system ]; then
		systemctl stop pwb-server.socket pwb-server.service
	fi
	systemctl --no-reload --quiet disable pwb-server.socket pwb-server.service 2>/dev/null || true
fi
