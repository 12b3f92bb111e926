#!/bin/sh
# Called with "remove" and "purge" by dpkg, with 0 by rpm, when the package is gone.
set -e

store=/var/lib/pwb-server

case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl daemon-reload
	fi
	;;
purge)
	rmdir --ignore-fail-on-non-empty /etc/pwb 2>/dev/null || true
	;;
*) exit 0 ;;
esac

# The store is no cache: it says who owns which uid. A server that began without it
# would give the numbers, and so the files, of some people to others. So it goes only
# when somebody deletes it by name; an empty directory may go.
if [ "$1" = purge ]; then
	rmdir --ignore-fail-on-non-empty "$store" 2>/dev/null || true
fi
if [ -e "$store/pwb.db" ]; then
	cat <<-END
	$store stays: it says who owns which uid and gid, and a server without it would give
	them to others. When no node has files of its users any more: rm -r $store; userdel pwb
	END
fi
