// Command pwb-demo shows the whole way on one machine: identity providers'
// requests, server, agent, files, NSS. It runs the real binaries on loopback.
//
//	pwb-demo show      a tour that ends by itself and leaves nothing behind
//	pwb-demo stay DIR  server and agent with a store under DIR, until Ctrl-C
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"pwb/cmd/harness"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pwb-demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	bin := harness.Bin(filepath.Dir(self)) // the other binaries lie beside this one
	switch {
	case len(args) == 1 && args[0] == "show":
		return show(ctx, bin)
	case len(args) == 2 && args[0] == "stay":
		return stay(ctx, bin, args[1])
	}
	return fmt.Errorf("usage: pwb-demo show | pwb-demo stay DIR")
}
