#!/bin/sh
# Called with "remove" and "purge" by dpkg, with 0 by rpm, when the package is gone.
set -e

state=/var/lib/pwb
rendered=/var/lib/extrausers

case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl daemon-reload
	fi
	rm -rf /run/pwb /run/pwb-pam
	if [ -e "$state/manifest.json" ]; then
		cat <<-END
		The rendered passwd, group and shadow files stay. Where nsswitch.conf names their source
		(setup's lines were taken back), whoever is in them can still log in, but nobody keeps
		them current any more: who leaves is not locked out. To remove them, purge this
		package, or delete them (manifest.json names their directory) together with $state.
		END
	fi
	;;
purge)
	# The agent writes over nothing that its manifest does not name, so both go, or
	# neither. Everything in them comes back from the server.
	if [ -f "$state/manifest.json" ] && grep -qF "\"$rendered\"" "$state/manifest.json"; then
		rm -f "$rendered/passwd" "$rendered/group" "$rendered/shadow"
	fi
	rm -rf "$state" /run/pwb /run/pwb-pam
	rmdir --ignore-fail-on-non-empty /etc/pwb 2>/dev/null || true
	if [ ! -e /usr/lib/libnss_extrausers.so.2 ]; then # whose directory it is
		rmdir --ignore-fail-on-non-empty "$rendered" 2>/dev/null || true
	fi
	# Workbench keeps files in this directory, too, and may use the same tokens.
	if [ -e /etc/rstudio/admin-token ]; then
		cat <<-END
		/etc/rstudio/admin-token and user-token stay. Revoke them at the server (pwb-server
		token revoke), and remove them, unless something else here uses them.
		END
	fi
	;;
esac
