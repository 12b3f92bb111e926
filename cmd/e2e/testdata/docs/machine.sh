# Makes a machine for a script of documentation, and runs it: in namespaces of its own,
# as the first process. Status 77: there can be no such machine here.
set -euo pipefail
hostname node1
mount -t tmpfs none /mnt || exit 77
for dir in etc usr var home root opt; do
  mkdir -p "/mnt/$dir/upper" "/mnt/$dir/work"
  mount -t overlay overlay -o "lowerdir=/$dir,upperdir=/mnt/$dir/upper,workdir=/mnt/$dir/work" "/$dir" || exit 77
done
mount -t tmpfs -o mode=755 none /run
# ip(8) may not be there.
python3 -c 'import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh", b"lo", 1))'
# As installed: nothing of pwb's, and nobody's account but root's and the system's.
rm -rf /etc/pwb /etc/rstudio /var/lib/pwb /var/lib/pwb-server /var/lib/extrausers/*
rm -f /etc/pam.d/common-*
pam-auth-update --package --force >/dev/null 2>&1
sed -i -e 's/^passwd:.*/passwd:         files systemd/' -e 's/^group:.*/group:          files systemd/' -e 's/^shadow:.*/shadow:         files/' -e '/^initgroups:/d' /etc/nsswitch.conf
printf '127.0.0.1 localhost node1\n' > /etc/hosts
mkdir -p /run/sshd /root/.ssh
test -e /etc/ssh/ssh_host_ed25519_key || ssh-keygen -q -A
printf 'ListenAddress 127.0.0.1\nUsePAM yes\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\n' > /etc/ssh/sshd_config
/usr/sbin/sshd
# Not exec: as the first process the shell would have no default for SIGTERM, and $! none.
bash "$1"
