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

systemd-sysusers pwb-server.conf
if command -v systemd-tmpfiles >/dev/null; then
	systemd-tmpfiles --create pwb-server.conf || true
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	if [ -n "$before" ]; then
		systemctl try-restart pwb-server.service
	fi
fi
if [ -z "$before" ]; then
	cat <<-'END'
	pwb-server is installed and does nothing yet. Next:
	  1. set tls-cert and tls-key, and listen, in /etc/pwb/server.yaml; the key must be
	     readable by the group pwb (chgrp pwb, chmod 0640)
	  2. pwb-server config check
	  3. systemctl enable --now pwb-server
	  4. pwb-server token create my-idp --scope scim
	END
fi
