#!/bin/sh
# Called with "remove" by dpkg, with 0 by rpm, when the package goes. An upgrade stops
# nothing: postinst restarts what runs.
set -e

case "$1" in
remove | 0) ;;
*) exit 0 ;;
esac

# What setup wrote into nsswitch.conf and PAM calls programs of this package. When it
# cannot be taken back, the package stays, and the message says what to do.
if [ -d /var/lib/pwb/setup ] && pwb-agent setup --help >/dev/null 2>&1; then
	pwb-agent setup --undo
fi
if command -v systemctl >/dev/null; then
	if [ -d /run/systemd/system ]; then
		systemctl stop pwb-agent-sync.timer pwb-agent-sync.service pwb-agent.service
	fi
	systemctl --no-reload --quiet disable pwb-agent-sync.timer pwb-agent.service 2>/dev/null || true
fi
