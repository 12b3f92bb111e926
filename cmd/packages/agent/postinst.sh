#!/bin/sh
# Called with "configure [OLD VERSION]" by dpkg, with the number of versions that will
# be there by rpm. Called again, it does the same.
set -e

case "$1" in
configure) before=$2 ;;
1) before= ;;
[2-9]*) before=some ;;
*) exit 0 ;;
esac

if command -v systemd-tmpfiles >/dev/null; then
	systemd-tmpfiles --create pwb-agent.conf || true
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	if [ -n "$before" ]; then
		# Files stay in place meanwhile, and lookups are answered from them.
		systemctl try-restart pwb-agent.service
	fi
fi
if [ -z "$before" ]; then
	cat <<-'END'
	pwb-agent is installed and does nothing yet. Next:
	  1. pwb-agent enroll --server https://... --token-file FILE
	     (FILE from the server: pwb-server token create NAME --scope enroll)
	  2. pwb-agent setup: nsswitch.conf and PAM; --dry-run shows it, --undo takes it back
	  3. systemctl enable --now pwb-agent
	  4. pwb-agent doctor
	END
fi
