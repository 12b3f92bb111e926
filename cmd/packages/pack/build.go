package main

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// build compiles the programs, and writes what they say of themselves.
func (o *options) build(ctx context.Context) (server, agent contents, err error) {
	server = contents{options: o, Name: "pwb-server"}
	agent = contents{options: o, Name: "pwb-agent"}
	for _, p := range []struct {
		name, source string
		of           *contents
	}{
		{"pwb-server", "cmd/pwb-server", &server},
		{"pwb-agent", "cmd/pwb-agent", &agent},
		{"nss-live", "cmd/libnss_pwb/live", &agent},
		{"pwb-pam", "cmd/pwb-pam", &agent},
	} {
		if err := o.compile(ctx, p.name, p.source, o.Arch, "bin"); err != nil {
			return server, agent, err
		}
		if p.name != p.of.Name {
			p.of.Helpers = append(p.of.Helpers, p.name)
		}
		if p.name == "nss-live" { // it has neither commands nor keys
			continue
		}
		if err := o.describe(ctx, p.name, p.source, p.of); err != nil {
			return server, agent, err
		}
	}
	return server, agent, nil
}

// compile builds a program of Go into a directory of the stage. Without cgo it runs
// with any libc, and names of hosts and users go through no NSS module.
func (o *options) compile(ctx context.Context, name, source, arch, dir string) error {
	return o.command(ctx, []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + arch, "GOFLAGS="},
		"go", "build", "-trimpath", "-buildvcs=false", "-tags", "netgo,osusergo",
		"-ldflags", "-s -w -buildid= -X main.version="+o.Version, "-o", filepath.Join(o.stage, dir, name), "./"+source)
}

// compiler is the C compiler for the module.
func (o *options) compiler() string {
	if o.Arch == runtime.GOARCH {
		return "gcc"
	}
	return o.Multiarch() + "-gcc"
}

// buildModule builds the NSS module, and finds out which glibc it needs.
func (o *options) buildModule(ctx context.Context) error {
	if _, err := exec.LookPath(o.compiler()); err != nil {
		return fmt.Errorf("the NSS module needs a C compiler for %s (Debian: apt-get install gcc-%s libc6-dev-%s-cross): %w", o.Arch, strings.ReplaceAll(o.Multiarch(), "_", "-"), o.Arch, err)
	}
	dir := filepath.Join(o.stage, "module")
	env := []string{"CGO_ENABLED=1", "GOOS=linux", "GOARCH=" + o.Arch, "CC=" + o.compiler(), "GOFLAGS=-buildvcs=false"}
	if err := o.command(ctx, env, "make", "--no-print-directory", "module", "OUT="+dir, "NSS_FLAGS=-buildid= -B none"); err != nil {
		return err
	}
	file := filepath.Join(o.stage, "bin", "libnss_pwb.so.2")
	if err := os.Rename(filepath.Join(dir, "libnss_pwb.so.2"), file); err != nil {
		return err
	}
	f, err := elf.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	symbols, err := f.ImportedSymbols()
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	most := 0
	for _, s := range symbols {
		if minor, ok := strings.CutPrefix(s.Version, "GLIBC_2."); ok {
			minor, _, _ = strings.Cut(minor, ".")
			if n, err := strconv.Atoi(minor); err == nil {
				most = max(most, n)
			}
		}
	}
	if most == 0 {
		return fmt.Errorf("%s names no version of glibc", file)
	}
	o.Glibc = "2." + strconv.Itoa(most)
	return nil
}

// describe has a program write its manual pages, configuration file and shell
// completions. A program for another machine is built for this one, too.
func (o *options) describe(ctx context.Context, name, source string, of *contents) error {
	program := filepath.Join(o.stage, "bin", name)
	if o.Arch != runtime.GOARCH {
		if err := o.compile(ctx, name, source, runtime.GOARCH, "host"); err != nil {
			return err
		}
		program = filepath.Join(o.stage, "host", name)
	}
	dir := filepath.Join("pages", name)
	if err := os.MkdirAll(filepath.Join(o.stage, dir), 0o755); err != nil {
		return err
	}
	if err := o.command(ctx, nil, program, "pages", filepath.Join(o.stage, dir)); err != nil {
		return err
	}
	written, err := os.ReadDir(filepath.Join(o.stage, dir))
	if err != nil {
		return err
	}
	for _, w := range written {
		path := filepath.Join(dir, w.Name())
		if filepath.Ext(path) == ".yaml" {
			of.Configs = append(of.Configs, path)
			continue
		}
		if err := of.page(path); err != nil {
			return err
		}
	}
	if name != of.Name {
		return nil // nobody types the name of a helper
	}
	for shell, to := range map[string]string{
		"bash": "/usr/share/bash-completion/completions/" + name,
		"zsh":  "/usr/share/zsh/site-functions/_" + name,
		"fish": "/usr/share/fish/vendor_completions.d/" + name + ".fish",
	} {
		var out bytes.Buffer
		cmd := exec.CommandContext(ctx, program, "completion", shell)
		cmd.Stdout = &out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s completion %s: %w", name, shell, err)
		}
		from := filepath.Join(dir, name+"."+shell)
		if err := os.WriteFile(filepath.Join(o.stage, from), out.Bytes(), 0o644); err != nil {
			return err
		}
		of.Completions = append(of.Completions, completion{from, to})
	}
	return nil
}
