package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"pwb/cmd/harness"
)

// listenEnv names the environment variable for another address than stayListen.
const (
	listenEnv  = "PWB_RUN_LISTEN"
	stayListen = "127.0.0.1:8443"
)

// stay runs server and agent with everything they keep under dir.
func stay(ctx context.Context, bin harness.Bin, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	files := filepath.Join(dir, "files")
	for _, d := range []string{dir, files} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	listen := os.Getenv(listenEnv)
	if listen == "" {
		listen = stayListen
	}
	server, err := harness.StartServer(ctx, bin, filepath.Join(dir, "store"), listen)
	if err != nil {
		return fmt.Errorf("%w\n(another address can be set: %s=127.0.0.1:PORT)", err, listenEnv)
	}
	defer server.Stop()
	scim, node := filepath.Join(dir, "scim-token"), filepath.Join(dir, "node-token")
	if err := errors.Join(keepToken(ctx, server, scim, "scim"), keepToken(ctx, server, node, "node-admin")); err != nil {
		return err
	}
	token, err := os.ReadFile(scim)
	if err != nil {
		return err
	}
	agent := harness.Agent{Bin: bin, Server: server.URL, TokenFile: node, Dir: files, StateDir: filepath.Join(dir, "state")}
	cmd := agent.Command(ctx, "run")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	fmt.Printf(`
pwb is running. Give an identity provider, or curl, these two:

  SCIM base URL  %[1]s/scim/v2
  Bearer token   %[2]s
For example, in another terminal:

  curl -s %[1]s/scim/v2/Users -H "Authorization: Bearer $(cat %[3]s)" \
    -H "Content-Type: application/scim+json" \
    -d '{"userName":"ada@acme.example","displayName":"Ada Lovelace","active":true}'
  cat %[4]s/passwd

Ctrl-C ends it; the store stays in %[5]s.

`, server.URL, token, scim, files, dir)
	// Ctrl-C reaches the agent, too, and may end it before it ends ctx.
	if err := cmd.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("the agent ended: %w", err)
	}
	return nil
}

// keepToken makes a token into a file, unless an earlier run has.
func keepToken(ctx context.Context, s *harness.Server, file, scope string) error {
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.TokenFile(ctx, file, "run-"+scope, scope)
}
