package roster

import "strings"

// Protected reports whether a name belongs to the system on Debian, RHEL or
// their kin, installed here or not: an account that services run as, or a group
// whose members get root's rights or a device. The lists are one, since an
// account usually brings a group of its own name.
//
// No node renders such a name unless its policy allows it (altfiles.Policy,
// AllowNames), so a server does well not to give it in the first place.
func Protected(name string) bool {
	if strings.HasPrefix(name, "systemd-") {
		return true
	}
	_, ok := protected[name]
	return ok
}

var protected = func() map[string]struct{} {
	m := map[string]struct{}{}
	for _, name := range strings.Fields(protectedNames) {
		m[name] = struct{}{}
	}
	return m
}()

// One paragraph a kind, so that a reader sees what is missing.
const protectedNames = `
	root toor halt shutdown daemon bin sys sync adm games man lp mail news uucp
	proxy www-data backup list irc gnats nobody nogroup nfsnobody operator
	gopher ftp sysadm users staff src voice fax dip sasl utmp utempter
	lock tty

	wheel sudo sudoers admin google-sudoers
	docker dockerroot podman containerd lxd lxc lxc-dnsmasq incus
	incus-admin microk8s snap_daemon k3s kube etcd
	libvirt libvirt-qemu libvirt-dnsmasq libvirtdbus qemu kvm vboxusers vboxsf
	vboxadd xen

	disk kmem mem shadow cdrom floppy tape video
	render audio input uinput dialout serial plugdev netdev
	scanner lpadmin cups cups-pk-helper bluetooth fuse sgx sgx_prv rdma i2c
	spi gpio lirc cdrw usb usbmux usbmon wireshark tcpdump pcap sambashare
	printadmin ssl-cert crontab cron at atd mlocate slocate plocate brlapi
	libuuid uuidd tss clevis

	ssh sshd _ssh ssh_keys ssh-keys sshusers privsep _apt _chrony _rpc
	_dnsmasq _flatpak _gvm _lldpd _tcpdump nslcd nscd nss_pwb pwb pwb-agent
	pwb-server sssd oddjob pcscd polkitd polkituser policykit messagebus dbus
	avahi avahi-autoipd rtkit colord geoclue gdm sddm lightdm saned pulse
	pulse-access pipewire whoopsie kernoops speech-dispatcher hplip gluster
	flatpak fwupd-refresh cockpit-ws cockpit-wsinstance setroubleshoot unbound
	insights rhsm abrt dnsmasq chrony ntp ntpd openntpd rpc rpcuser statd
	tftp nut netdump stapusr stapsys stapdev stapunpriv syslog rsyslog
	landscape pollinate tcpwrapper usbmuxd cloud-init waagent
	google-guest ec2-instance-connect auditd systemd

	apache httpd nginx squid named bind postfix postdrop exim debian-exim
	dovecot dovenull dovecot-auth smmsp smmta mailnull mailman amavis clamav
	clamscan virusgroup clamupdate spamd mysql mariadb postgres redis valkey
	memcache memcached mongodb mongod influxdb elasticsearch kibana logstash
	rabbitmq tomcat jetty jenkins gitlab-runner git gitolite svn openldap ldap
	slapd dirsrv pkiuser ipaapi kdcproxy keycloak radiusd freerad winbind
	winbindd_priv samba haproxy varnish puppet chef salt ansible-svc zabbix
	zabbix-agent nagios nrpe munin prometheus node_exporter grafana loki
	telegraf openvpn nm-openvpn nm-openconnect wbpriv stunnel4 tor ceph munge
	slurm rstudio-server rstudio-connect rstudio-pm
`
