package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestConfigCheckCommand(t *testing.T) {
	s := newTranscript(t, "check")
	s.both("config check")
	if _, err := os.Stat("store"); err == nil {
		t.Error("config check made a store")
	}
	s.run("token create provider --scope scim")
	before := dirNames(t, "store")
	s.both("config check")
	if after := dirNames(t, "store"); len(after) != len(before) {
		t.Errorf("config check changed the data directory: %v, it was %v", after, before)
	}
	s.run("config check --user-provisioning-start-uid 20000 --group-provisioning-start-gid 30000 --provisioning-excluded-ids 5000-5999,7000 --auth-user-rewrite-rule '^(.*)@acme$ $1'")
}

func TestConfigCheckFindsEveryProblem(t *testing.T) {
	s := newTranscript(t, "check-wrong")
	s.file("token", "too short\n", 0o600)
	s.file("key", "no key\n", 0o644)
	if err := os.Mkdir("open", 0o755); err != nil {
		t.Fatal(err)
	}
	s.file("open/pwb.db", "no store, but for its length, which is what a header of a store has at the least: one hundred bytes ...", 0o600)
	const flags = " --log-level loud --listen nowhere --insecure-http=false --tls-cert cert --tls-key key --base-url ftp://x --page-size -1 --password-hash-rounds 1" +
		" --user-provisioning-start-uid 5 --group-provisioning-start-gid 6 --provisioning-excluded-ids 9-1 --auth-user-rewrite-rule '( $1'" +
		" --user-homedir-path home --user-shell sh --user-alias-days -1 --user-retention-days 100000 --admin-group wheel" +
		" --local-passwd-file absent --local-group-file absent --scim-token-file token --data-dir open"
	s.both("config check" + flags)
	s.remark("one at a time")
	s.run("config check --insecure-http=false")
	s.run("config check --listen 0.0.0.0:80")
	s.file("token", "", 0o644)
	s.run("config check --scim-token-file token")
	s.file("server.yaml", "data-dri: store\n", 0o600)
	s.run("config check")
	s.run("user list")
}

func TestConfigCheckLooksAtRegistration(t *testing.T) {
	s := newTranscript(t, "check-registration")
	s.file("secret", "a secret\n", 0o600)
	s.file("open-secret", "a secret\n", 0o644)
	s.file("no-certificate", "none\n", 0o644)
	const on = "config check --user-provisioning-register-on-first-login"
	const provider = on + " --auth-openid-issuer https://id.example --auth-openid-client-id pwb --base-url https://pwb.example"
	s.run(on)
	s.run(provider + " --auth-openid-client-secret-file secret")
	s.remark("what is wrong")
	for _, flags := range []string{
		provider + " --auth-openid-client-secret-file open-secret",
		provider + " --auth-openid-client-secret-file absent",
		provider + " --auth-openid-ca-cert no-certificate",
		provider + " --auth-openid-scopes profile",
		provider + " --auth-openid-match anybody",
		provider + " --auth-openid-wait 10m",
		on + " --auth-openid-client-id pwb",
		on + " --auth-openid-issuer https://id.example",
		on + " --auth-openid-issuer http://id.example --auth-openid-client-id pwb",
		on + " --auth-openid-issuer https://id.example --auth-openid-client-id pwb --insecure-http=false",
	} {
		s.run(flags)
	}
}

func TestConfigCheckLooksAtTheCertificate(t *testing.T) {
	s := newTranscript(t, "check-certificate")
	for name, until := range map[string]time.Duration{"good": 24 * time.Hour, "old": -time.Hour} {
		certificate(t, name, time.Now().Add(-48*time.Hour), time.Now().Add(until))
	}
	certificate(t, "early", time.Now().Add(24*time.Hour), time.Now().Add(48*time.Hour))
	const flags = "config check --insecure-http=false"
	s.run(flags + " --tls-cert good.pem --tls-key good.key")
	s.run(flags + " --tls-cert old.pem --tls-key old.key")
	s.run(flags + " --tls-cert early.pem --tls-key early.key")
	s.run(flags + " --tls-cert good.pem --tls-key old.key")
	s.run(flags + " --tls-cert absent.pem --tls-key good.key")
	s.run("config check --tls-cert good.pem --tls-key good.key")
}

// certificate writes NAME.pem and NAME.key.
func certificate(t *testing.T, name string, from, until time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: until, DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConfigCheckLooksAtTheSchema(t *testing.T) {
	s := newTranscript(t, "check-schema")
	s.run("token create provider --scope scim")
	for _, version := range []int{1, 99} {
		db, err := sql.Open("sqlite", "store/pwb.db") // the store's driver
		if err != nil {
			t.Fatal(err)
		}
		_, err = db.Exec(fmt.Sprintf("PRAGMA user_version = %d", version))
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		s.remark(fmt.Sprintf("schema version %d", version))
		s.run("config check")
	}
	s.run("user list")
	s.run("backup store.backup")
}

func dirNames(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}
