package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pwb/cmd/doctor"
	"pwb/scimserver/sqlite"
)

func (d *serverDoctor) checks() []doctor.Check {
	return []doctor.Check{
		{Name: "config", Look: d.config},
		{Name: "config-mode", Look: d.configMode},
		{Name: "transport", Look: d.transport},
		{Name: "certificate", Look: d.certificate},
		{Name: "certificate-name", Look: d.certificateName},
		{Name: "running", Look: d.running},
		{Name: "data-dir", Look: d.dataDir},
		{Name: "store", Look: d.store},
		{Name: "ledger", Look: d.ledger},
		{Name: "disk", Look: d.disk},
		{Name: "clock", Look: d.clock},
		{Name: "tokens", Look: d.tokens},
		{Name: "tokens-over", Look: d.tokensOver},
		{Name: "tokens-unused", Look: d.tokensUnused},
		{Name: "nodes-seen", Look: d.nodesSeen},
		{Name: "nodes-behind", Look: d.nodesBehind},
		{Name: "nodes-well", Look: d.nodesWell},
		{Name: "fuse", Look: d.fuse},
		{Name: "numbers", Look: d.numbers},
	}
}

// config has each key looked at that has no check of its own here.
func (d *serverDoctor) config(ctx context.Context, r *doctor.Report) {
	well := true
	for _, key := range d.unknown {
		well = false
		p := doctor.Problem{What: fmt.Sprintf("%s has the key %q, which is none", d.file, key), Why: "the server does not start: it would not do what somebody meant",
			Advice: "correct its name if it is misspelt; pwb-server keys lists every key"}
		if content, err := os.ReadFile(d.file); err == nil {
			lines := regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(key)+`[ \t]*:.*\n?([ \t-]*)`).FindAllStringSubmatch(string(content), -1)
			if len(lines) == 1 && lines[0][1] == "" && !strings.ContainsAny(key, "/'\n") {
				p.Mend = doctor.Words("sed", "-i", "/^"+regexp.QuoteMeta(key)+"[[:blank:]]*:/d", d.file)
			}
		}
		r.Fail(p)
	}
	if d.broken != nil {
		r.Fail(doctor.Problem{What: d.broken.Error(), Why: "the server does not start", Advice: "correct it; pwb-server keys lists every key with its meaning"})
		return
	}
	for _, l := range looks {
		switch l.what {
		case "certificate", "data-dir", "store":
			continue
		}
		if _, err := l.at(ctx, d.cfg); err != nil {
			well = false
			r.Fail(doctor.Problem{What: l.what + ": " + oneLine(err), Why: "the server does not start, or refuses what it should take", Advice: "correct it in " + d.file})
		}
	}
	switch {
	case !well:
	case owner(d.file) < 0:
		r.OK("there is no %s: defaults, the environment and flags hold", d.file)
	default:
		r.OK("%s", d.file)
	}
}

// guarded tells of a file that others could change or read.
func guarded(r *doctor.Report, path string, not fs.FileMode, why string) bool {
	fi, err := os.Stat(path)
	if err != nil {
		return true // told where it is read
	}
	if mode := fi.Mode().Perm(); mode&not != 0 {
		r.Fail(doctor.Problem{What: fmt.Sprintf("%s has mode %04o", path, mode), Why: why, Mend: doctor.Words("chmod", fmt.Sprintf("%04o", mode&^not), path)})
		return false
	}
	return true
}

func (d *serverDoctor) configMode(_ context.Context, r *doctor.Report) {
	if guarded(r, d.file, 0o022, "whoever can write it can have the server use another store, or none of its certificates") {
		r.OK("%s", d.file)
	}
}

// unusable reports whether the configuration cannot be looked at.
func (d *serverDoctor) unusable(r *doctor.Report) bool {
	if d.broken != nil {
		r.Skip("%v", errMisconfigured)
	}
	return d.broken != nil
}

func (d *serverDoctor) transport(_ context.Context, r *doctor.Report) {
	if d.unusable(r) {
		return
	}
	const why = "the server does not start"
	if d.cfg.TLSKey != "" && !guarded(r, d.cfg.TLSKey, 0o007, why+": who can read the key can be this server") {
		return
	}
	t, err := transport(d.cfg, slog.New(slog.DiscardHandler))
	switch {
	case err != nil:
		r.Fail(doctor.Problem{What: oneLine(err), Why: why, Advice: "correct listen, tls-cert, tls-key or insecure-http in " + d.file})
	case t == nil:
		r.OK("plain HTTP on %s, for what stands before it on this host", d.cfg.Listen)
	default:
		r.OK("TLS on %s", d.cfg.Listen)
	}
}

// leaf is the server's certificate; nil where there is none to look at.
func (d *serverDoctor) leaf(r *doctor.Report) *x509.Certificate {
	switch {
	case d.unusable(r):
		return nil
	case d.cfg.TLSCert == "":
		r.OK("none: plain HTTP")
		return nil
	}
	pair, err := tls.LoadX509KeyPair(d.cfg.TLSCert, d.cfg.TLSKey)
	if err != nil {
		r.Skip("%s cannot be used: see transport", d.cfg.TLSCert)
		return nil
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		r.Skip("%s: %v", d.cfg.TLSCert, err)
		return nil
	}
	return leaf
}

func (d *serverDoctor) certificate(_ context.Context, r *doctor.Report) {
	leaf := d.leaf(r)
	if leaf == nil {
		return
	}
	const why = "no provider and no node reaches a server whose certificate is over"
	advice := "renew " + d.cfg.TLSCert + " and " + d.cfg.TLSKey + ", and restart the server"
	now := time.Now()
	switch life := leaf.NotAfter.Sub(leaf.NotBefore); {
	case now.After(leaf.NotAfter):
		r.Fail(doctor.Problem{What: "tls-cert expired on " + dateOf(leaf.NotAfter), Why: why, Advice: advice})
	case now.Before(leaf.NotBefore):
		r.Fail(doctor.Problem{What: "tls-cert is not valid before " + dateOf(leaf.NotBefore), Why: why, Advice: "look at the clock: date -u"})
	case leaf.NotAfter.Sub(now) < min(endsSoon, life/4):
		r.Warn(doctor.Problem{What: "tls-cert ends on " + dateOf(leaf.NotAfter), Why: why, Advice: advice})
	default:
		r.OK("until %s", dateOf(leaf.NotAfter))
	}
}

func (d *serverDoctor) certificateName(_ context.Context, r *doctor.Report) {
	leaf := d.leaf(r)
	if leaf == nil {
		return
	}
	u, err := url.Parse(d.cfg.BaseURL)
	if err != nil || u.Hostname() == "" {
		r.OK("base-url is not set: any name will do")
		return
	}
	if err := leaf.VerifyHostname(u.Hostname()); err != nil {
		r.Warn(doctor.Problem{What: "tls-cert is not for the host of base-url: " + err.Error(), Why: "clients that follow base-url do not trust the server, unless a proxy with another certificate stands before it",
			Advice: "get a certificate for " + u.Hostname() + ", or correct base-url in " + d.file})
		return
	}
	r.OK("it has %s", u.Hostname())
}

// running asks the server that listens where the configuration says.
func (d *serverDoctor) running(ctx context.Context, r *doctor.Report) {
	if d.unusable(r) {
		return
	}
	host, port, err := net.SplitHostPort(d.cfg.Listen)
	if err != nil {
		r.Skip("listen is no address: see config")
		return
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	scheme := "https"
	if d.cfg.TLSCert == "" {
		scheme = "http"
	}
	ready := scheme + "://" + net.JoinHostPort(host, port) + "/readyz"
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}} // nothing is sent
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ready, nil)
	if err != nil {
		r.Skip("%v", err)
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		p := doctor.Problem{What: "nobody answers on " + d.cfg.Listen + ": " + err.Error(), Why: "providers' changes wait, and no node takes any", Advice: "start it: " + d.command("serve")}
		if _, err := os.Stat("/run/systemd/system"); err == nil {
			p.Mend, p.Advice = "systemctl enable --now pwb-server.service", "or see why it ended: journalctl -u pwb-server"
		}
		r.Fail(p)
		return
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		r.Fail(doctor.Problem{What: fmt.Sprintf("%s answers %d", ready, resp.StatusCode), Why: "its store does not answer, or somebody else listens there", Advice: "look at the server's log"})
		return
	}
	r.OK("answers on %s", d.cfg.Listen)
}

func (d *serverDoctor) dataDir(ctx context.Context, r *doctor.Report) {
	if d.unusable(r) {
		return
	}
	dir := d.cfg.DataDir
	if !guarded(r, dir, 0o077, "password hashes lie in it") {
		return
	}
	if _, err := lookAtDataDir(ctx, d.cfg); err != nil {
		r.Fail(doctor.Problem{What: oneLine(err), Why: "the server cannot keep anything", Advice: "run this as root, or as the user that the server runs as; correct data-dir in " + d.file})
		return
	}
	for _, name := range []string{sqlite.FileName, sqlite.FileName + "-wal", sqlite.FileName + "-shm"} {
		if !guarded(r, filepath.Join(dir, name), 0o077, "it holds password hashes") {
			return
		}
	}
	if of, store := owner(dir), owner(filepath.Join(dir, sqlite.FileName)); store >= 0 && of != store {
		r.Fail(doctor.Problem{What: fmt.Sprintf("%s belongs to uid %d, and the store in it to uid %d", dir, of, store), Why: "somebody else than the server's user made or restored it: the server cannot write",
			Mend: doctor.Words("chown", "-R", "--reference="+dir, dir)})
		return
	}
	r.OK("%s", dir)
}

// owner is a file's uid, -1 if it is not there.
func owner(path string) int {
	fi, err := os.Stat(path)
	if err != nil {
		return -1
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return -1
	}
	return int(st.Uid)
}

func (d *serverDoctor) store(ctx context.Context, r *doctor.Report) {
	switch {
	case d.broken != nil, errors.Is(d.unopened, errMisconfigured):
		r.Skip("%v", errMisconfigured)
	case errors.Is(d.unopened, fs.ErrNotExist):
		r.Fail(doctor.Problem{What: d.unopened.Error(), Why: "there are no users", Advice: "pwb-server serve makes a new one; pwb-server restore FILE puts a backup back"})
	case d.unopened != nil:
		if fi, err := os.Stat(d.cfg.DataDir); err == nil && fi.Mode().Perm()&0o077 != 0 {
			r.Skip("it is not opened in a directory that others can reach: see data-dir")
			return
		}
		r.Fail(doctor.Problem{What: oneLine(d.unopened), Why: "the server cannot use the store", Advice: "if it is damaged, put a backup back: pwb-server restore FILE"})
	default:
		found, err := lookAtStore(ctx, d.cfg)
		if err != nil {
			r.Fail(doctor.Problem{What: oneLine(err), Why: "the server cannot use the store", Advice: "put a backup back: pwb-server restore FILE"})
			return
		}
		r.OK("%s", found)
	}
}

func (d *serverDoctor) ledger(ctx context.Context, r *doctor.Report) {
	if !d.stored(r) {
		return
	}
	found, err := d.operator.Check(ctx)
	switch {
	case ctx.Err() != nil:
		r.Skip("it took too long; without a bound of time: %s", d.command("ids", "check"))
	case err != nil:
		r.Fail(doctor.Problem{What: oneLine(err), Why: "the store cannot be read", Advice: "put a backup back: pwb-server restore FILE"})
	case len(found) > 0:
		r.Fail(doctor.Problem{What: fmt.Sprintf("%s in the ledger and the roster that must not be", plural(len(found), "thing", "things")), Why: "numbers or names could be given twice, or nodes shown something else",
			Advice: "see what: " + d.command("ids", "check") + "; and put a backup back, or ask the makers"})
	default:
		r.OK("numbers, names and the roster's digest are as they must be")
	}
}

const leastRoom = 64 << 20

func (d *serverDoctor) disk(_ context.Context, r *doctor.Report) {
	var f unix.Statfs_t
	if err := unix.Statfs(d.cfg.DataDir, &f); err != nil {
		r.Skip("%s: %v", d.cfg.DataDir, err)
		return
	}
	need := uint64(leastRoom)
	if fi, err := os.Stat(filepath.Join(d.cfg.DataDir, sqlite.FileName)); err == nil {
		need += uint64(fi.Size()) // a restore, or a large change
	}
	const why = "a store that cannot write refuses every change of a provider's"
	left := f.Bavail * uint64(f.Bsize)
	switch {
	case f.Flags&unix.ST_RDONLY != 0:
		r.Fail(doctor.Problem{What: d.cfg.DataDir + " is on a file system that is read-only", Why: why, Advice: "if the disk has errors, see to these first: dmesg; then mount -o remount,rw"})
	case f.Blocks > 0 && left < need:
		r.Warn(doctor.Problem{What: fmt.Sprintf("%s has %d MiB left, and the store may need %d", d.cfg.DataDir, left>>20, need>>20), Why: why, Advice: "make room: du -xh " + doctor.Word(d.cfg.DataDir)})
	case f.Files > 0 && f.Ffree < 100:
		r.Warn(doctor.Problem{What: fmt.Sprintf("%s has %d inodes left", d.cfg.DataDir, f.Ffree), Why: why, Advice: "make room"})
	default:
		r.OK("there is room")
	}
}
