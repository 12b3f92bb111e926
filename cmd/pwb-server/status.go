package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pwb/cmd/pwb-server/monitoring"
	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/sqlite"
)

// status is how the server stands, as --json prints it.
type status struct {
	Position roster.Position `json:"position"`
	Users    int             `json:"users"`
	Groups   int             `json:"groups"`
	// Accounts are what nodes see; Locked of them cannot log in.
	Accounts int `json:"accounts"`
	Locked   int `json:"locked"`
	// LastProvider is when an identity provider came last.
	LastProvider *time.Time            `json:"lastProvider"`
	Nodes        scimserver.Fleet      `json:"nodes"`
	Tokens       int                   `json:"tokens"`
	Expiring     []expiring            `json:"tokensExpiring"`
	Fuse         scimserver.FuseStatus `json:"fuse"`
	Store        storeStatus           `json:"store"`
	// Certificate is when the server's expires; null without one.
	Certificate *time.Time `json:"certificateExpires"`
	// Attention is what somebody should look at, most urgent first.
	Attention []attention `json:"attention"`
}

type (
	expiring struct {
		Name    string           `json:"name"`
		Scope   scimserver.Scope `json:"scope"`
		Expires time.Time        `json:"expires"`
	}
	storeStatus struct {
		Directory string `json:"directory"`
		Bytes     int64  `json:"bytes"`
		Free      uint64 `json:"free"`
	}
	attention struct {
		What string `json:"what"`
		Next string `json:"next"`
	}
)

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how store, nodes, tokens and fuse stand",
		Long: "Say how the store, the nodes, the tokens and the fuse stand, with or without a running\n" +
			"server; what nodes and tokens did in the last minute may be missing. While something\n" +
			"wants attention, it is named with what to do, and the exit status is 1.",
		Args: takes(0, 0),
	}
	return administer(cmd, needStore, func(ctx context.Context, j *job, _ []string) error {
		f, err := j.operator.Figures(ctx)
		if err != nil {
			return err
		}
		st, err := j.statusOf(f)
		if err != nil {
			return err
		}
		if err := j.showStatus(st); err != nil {
			return err
		}
		if n := len(st.Attention); n > 0 {
			return errors.New(plural(n, "thing wants attention", "things want attention"))
		}
		return nil
	})
}

func (j *job) statusOf(f scimserver.Figures) (status, error) {
	size, err := sqlite.SizeOf(j.cfg.DataDir)
	if err != nil {
		return status{}, err
	}
	st := status{
		Position: f.Position, Users: f.Users, Groups: f.Groups, Accounts: f.Accounts, Locked: f.Locked,
		Nodes: scimserver.Summary(f.Nodes), Tokens: len(f.Tokens), Expiring: []expiring{}, Fuse: f.Fuse,
		Store: storeStatus{j.cfg.DataDir, size.Bytes, size.Free}, Attention: []attention{},
	}
	if last := f.LastProvider(); !last.IsZero() {
		st.LastProvider = &last
	}
	for _, t := range f.Tokens {
		if !t.Expires.IsZero() && t.Expires.Sub(f.At) < monitoring.Expiring {
			st.Expiring = append(st.Expiring, expiring{t.Name, t.Scope, t.Expires})
		}
	}
	var certificate error
	if j.cfg.TLSCert != "" {
		certs, err := transport(j.cfg, slog.New(slog.DiscardHandler))
		if certificate = err; err == nil {
			end := certs.expires()
			st.Certificate = &end
		}
	}
	st.attend(f.At, j.cfg, certificate)
	return st, nil
}

// attend finds what wants attention.
func (st *status) attend(now time.Time, cfg config, certificate error) {
	want := func(does bool, next, format string, args ...any) {
		if does {
			st.Attention = append(st.Attention, attention{fmt.Sprintf(format, args...), next})
		}
	}
	const nodes = "pwb-server node list"
	n := st.Nodes
	want(st.Store.Free < cfg.MinFreeBytes, "make room in "+cfg.DataDir, "the store has %d bytes of room", st.Store.Free)
	want(st.Fuse.Open, "pwb-server fuse status", "the fuse is open")
	want(certificate != nil, "pwb-server config check", "the certificate cannot be used: %v", certificate)
	want(st.Certificate != nil && st.Certificate.Sub(now) < monitoring.Expiring, "renew the files tls-cert and tls-key; the server takes them by itself", "the certificate expires on %s", timeText(st.Certificate))
	want(n.FuseHeld > 0, "pwb-agent status on the node", "%s a change back by a fuse", plural(n.FuseHeld, "node holds", "nodes hold"))
	want(n.Failed > 0, nodes, "the last pass of %s failed", plural(n.Failed, "node", "nodes"))
	want(n.Offline > 0, nodes+"; pwb-server node forget NAME where it is gone for good", "%s offline", plural(n.Offline, "node is", "nodes are"))
	want(n.Quarantined > 0, nodes+", and pwb-agent status on the node", "nodes refuse %s", plural(n.Quarantined, "entry", "entries"))
	want(n.Pinned > 0, "pwb-agent rollback --release on the node", "%s pinned to former files", plural(n.Pinned, "node is", "nodes are"))
	for _, t := range st.Expiring {
		does := "expires"
		if t.Expires.Before(now) {
			does = "expired"
		}
		want(true, "make another with pwb-server token create, hand it out, and revoke this one", "the token %s (%s) %s on %s", shown(t.Name), t.Scope, does, timeText(&t.Expires))
	}
}

func (j *job) showStatus(st status) error {
	if j.out.json {
		return j.out.object(st)
	}
	provider := "never"
	if st.LastProvider != nil {
		provider = timeText(st.LastProvider)
	}
	nodes := fmt.Sprintf("%d online, %d offline; %d show the newest change, %d online ones do not yet", st.Nodes.Online, st.Nodes.Offline, st.Nodes.Converged, st.Nodes.Lagging)
	fuse := fmt.Sprintf("%s locked or deleted within %v, %d allowed", plural(st.Fuse.Lost, "user", "users"), time.Duration(st.Fuse.Window)*time.Second, st.Fuse.Limit)
	switch {
	case !st.Fuse.Enabled:
		fuse = "none"
	case st.Fuse.Released != nil:
		fuse = "released until " + timeText(st.Fuse.Released)
	case st.Fuse.Open:
		fuse = "OPEN: " + fuse
	}
	tokens := fmt.Sprintf("%d, %d of them expire soon or have", st.Tokens, len(st.Expiring))
	fields := []field{
		{"store", fmt.Sprintf("%s, %d bytes, %d bytes free", st.Store.Directory, st.Store.Bytes, st.Store.Free)},
		{"position", st.Position.String()},
		{"users", fmt.Sprintf("%d, and %s", st.Users, plural(st.Groups, "group", "groups"))},
		{"accounts", fmt.Sprintf("%d on the nodes, %d of them locked", st.Accounts, st.Locked)},
		{"last provider", provider},
		{"nodes", nodes},
		{"tokens", tokens},
		{"fuse", fuse},
	}
	if st.Certificate != nil {
		fields = append(fields, field{"certificate", "expires on " + timeText(st.Certificate)})
	}
	if err := j.out.fields(fields); err != nil {
		return err
	}
	for _, a := range st.Attention {
		j.out.say("%s: %s", strings.ToUpper(a.What[:1])+a.What[1:], a.Next)
	}
	return nil
}
