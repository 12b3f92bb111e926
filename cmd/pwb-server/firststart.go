package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"pwb/scimserver"
)

// firstStartName begins the names of the tokens that firstStart makes.
const firstStartName = "first-start-"

// nodesDir is the directory in the data directory whose files are for nodes.
const nodesDir = "nodes"

// firstStart writes what nodes need into the data directory, once, when there
// is no token yet: a token for agents, one for lookups without hashes, and a
// workbench-nss.conf. An administrator copies them to /etc/rstudio of each node.
func firstStart(ctx context.Context, o *scimserver.Operator, cfg config, log *slog.Logger) error {
	dir := filepath.Join(cfg.DataDir, nodesDir)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	tokens, err := o.Tokens(ctx)
	if err != nil {
		return err
	}
	unfinished := dir + ".new"
	_, cut := os.Stat(unfinished)
	for _, t := range tokens {
		switch {
		case cut == nil && strings.HasPrefix(t.Name, firstStartName):
			// A first start that was cut short: nobody has this token.
			if err := o.RevokeToken(ctx, t.Name); err != nil {
				return err
			}
		case t.Scope == scimserver.ScopeNodeAdmin, t.Scope == scimserver.ScopeNodeUser:
			return nil // nodes have them
		}
	}
	if err := errors.Join(os.RemoveAll(unfinished), os.Mkdir(unfinished, 0o700)); err != nil {
		return fmt.Errorf("make the directory for nodes: %w", err)
	}
	files := []struct {
		name string
		text string
		mode fs.FileMode
	}{
		{name: "admin-token", mode: 0o600},
		{name: "user-token", mode: 0o644},
		{name: "workbench-nss.conf", mode: 0o644, text: nssConf(cfg)},
	}
	for i, scope := range []scimserver.Scope{scimserver.ScopeNodeAdmin, scimserver.ScopeNodeUser} {
		_, text, err := o.AddToken(ctx, firstStartName+string(scope), scope, 0)
		if err != nil {
			return fmt.Errorf("make a token for nodes: %w", err)
		}
		files[i].text = text + "\n"
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(unfinished, f.name), []byte(f.text), f.mode); err != nil {
			return fmt.Errorf("write what nodes need: %w", err)
		}
	}
	if err := os.Rename(unfinished, dir); err != nil {
		return fmt.Errorf("write what nodes need: %w", err)
	}
	log.Info("wrote tokens and workbench-nss.conf for nodes; copy them to /etc/rstudio there", "directory", dir)
	return nil
}

// nssConf is a workbench-nss.conf for nodes.
func nssConf(cfg config) string {
	address := cfg.BaseURL
	if address == "" {
		address = "https://" + cfg.Listen
		if cfg.InsecureHTTP {
			address = "http://" + cfg.Listen
		}
	}
	return strings.Join([]string{
		"# For /etc/rstudio/workbench-nss.conf of each node, beside admin-token (0600) and user-token (0644).",
		"server-address=" + address,
		"admin-token-path=/etc/rstudio/admin-token",
		"user-token-path=/etc/rstudio/user-token",
		"verify-ssl-certs=1",
		"",
	}, "\n")
}
