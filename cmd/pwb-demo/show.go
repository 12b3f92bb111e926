package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"pwb/cmd/harness"
)

// requests are bodies as the providers send them; {{name}} stands for the id
// that the server gave.
//
//go:embed requests/*.json
var requests embed.FS

// tour is the state of the demonstration.
type tour struct {
	server *harness.Server
	agent  harness.Agent
	okta   harness.Provider
	entra  harness.Provider
	watch  *harness.Watch
	ns     *harness.Namespace // nil where there can be none
	ids    map[string]string
}

// show is the demonstration. It ends what it began, also when it fails.
func show(ctx context.Context, bin harness.Bin) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "pwb-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	t := &tour{ids: map[string]string{}}
	title("A server on a free loopback port, with a store of its own")
	if t.server, err = harness.StartServer(ctx, bin, filepath.Join(dir, "store"), "127.0.0.1:0"); err != nil {
		return err
	}
	defer t.server.Stop()
	fmt.Println(t.server.URL)
	stop, err := t.startAgent(ctx, bin, dir)
	if err != nil {
		return err
	}
	defer stop()
	return t.walk(ctx)
}

func (t *tour) startAgent(ctx context.Context, bin harness.Bin, dir string) (stop func(), err error) {
	files, tokenFile := filepath.Join(dir, "files"), filepath.Join(dir, "node-token")
	if err := os.Mkdir(files, 0o755); err != nil {
		return nil, err
	}
	token, err := t.server.Token(ctx, "identity-provider", "scim")
	if err != nil {
		return nil, err
	}
	if err := t.server.TokenFile(ctx, tokenFile, "this-node", "node-admin"); err != nil {
		return nil, err
	}
	t.okta = harness.Provider{URL: t.server.URL, Token: token, Header: http.Header{
		"User-Agent":     {"Okta SCIM Client 1.0.0"},
		"Accept":         {"application/scim+json"},
		"Accept-Charset": {"utf-8"},
		"Content-Type":   {"application/scim+json; charset=utf-8"},
	}}
	t.entra = harness.Provider{URL: t.server.URL, Token: token, Header: http.Header{
		"Accept":       {"application/scim+json"},
		"Content-Type": {"application/scim+json; charset=utf-8"},
	}}
	t.agent = harness.Agent{Bin: bin, Server: t.server.URL, TokenFile: tokenFile, Dir: files, StateDir: filepath.Join(dir, "state")}
	if t.watch, err = harness.NewWatch(files); err != nil {
		return nil, err
	}
	ns, err := harness.NewNamespace(files, dir)
	if err != nil {
		fmt.Println("getent and id are left out:", err)
	} else {
		t.ns = ns
	}
	cmd := t.agent.Command(ctx, "run", "--log-level", "warn")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = cmd.Cancel()
		_ = cmd.Wait() // it was told to end
		_ = t.watch.Close()
	}, nil
}

// walk makes the requests and shows what becomes of them.
func (t *tour) walk(ctx context.Context) error {
	title("Okta looks for two users, creates them and pushes a group")
	if err := errors.Join(
		t.find(ctx, t.okta, "ada.lovelace@acme.example"),
		t.create(ctx, t.okta, "ada", "/Users", "okta-create-user"),
		t.create(ctx, t.okta, "grace", "/Users", "okta-create-second-user"),
		t.create(ctx, t.okta, "data", "/Groups", "okta-push-group"),
	); err != nil {
		return err
	}
	title("Entra ID creates a user and a group and adds a member")
	if err := errors.Join(
		t.find(ctx, t.entra, "5ad9c7c7-9f5b-4a4e-8d3b-1d2f0d3c9a11"),
		t.create(ctx, t.entra, "linus", "/Users", "entra-create-user"),
		t.create(ctx, t.entra, "cluster", "/Groups", "entra-create-group"),
		t.patch(ctx, t.entra, http.StatusNoContent, "/Groups/{{cluster}}", "entra-add-member"),
	); err != nil {
		return err
	}
	// Within a render passwd comes after group.
	if err := t.watch.Until(ctx, "group", harness.Has(":linus.torvalds\n")); err != nil {
		return err
	}
	if err := t.watch.Until(ctx, "passwd", harness.Has("linus.torvalds:")); err != nil {
		return err
	}
	title("The files that the agent rendered")
	now, err := t.files()
	if err != nil {
		return err
	}
	for _, name := range fileNames {
		fmt.Printf("%s\n%s", name, indent(now[name]))
	}
	if err := t.lookUp(ctx, "passwd", "ada.lovelace", "grace.hopper", "linus.torvalds"); err != nil {
		return err
	}
	if err := t.lookUp(ctx, "group", "data_science", "cluster_users"); err != nil {
		return err
	}
	if err := t.inNamespace(ctx, "id", "ada.lovelace"); err != nil {
		return err
	}
	return t.changes(ctx)
}

// changes shows four everyday changes, each with its difference and its time.
func (t *tour) changes(ctx context.Context) error {
	for _, c := range []struct {
		title, method, path, request string
		from                         harness.Provider
		status                       int
		file                         string
		done                         func([]byte) bool
	}{
		{"Entra ID disables Linus", http.MethodPatch, "/Users/{{linus}}", "entra-disable-user", t.entra, http.StatusOK,
			"passwd", lineHas("linus.torvalds:", "/usr/sbin/nologin")},
		{"Okta renames its group to Research", http.MethodPatch, "/Groups/{{data}}", "okta-rename-group", t.okta, http.StatusOK,
			"group", harness.Has("research:x:")},
		{"Entra ID adds Ada to Cluster Users", http.MethodPatch, "/Groups/{{cluster}}", "entra-add-ada", t.entra, http.StatusNoContent,
			"group", lineHas("cluster_users:", "ada.lovelace")},
		{"Okta removes Grace from Research", http.MethodPatch, "/Groups/{{data}}", "okta-remove-member", t.okta, http.StatusNoContent,
			"group", func(b []byte) bool { return !lineHas("research:", "grace.hopper")(b) }},
	} {
		title(c.title)
		before, err := t.files()
		if err != nil {
			return err
		}
		if err := t.send(ctx, c.from, c.status, c.method, c.path, c.request); err != nil {
			return err
		}
		answered := time.Now()
		if err := t.watch.Until(ctx, c.file, c.done); err != nil {
			return err
		}
		took := time.Since(answered)
		after, err := t.files()
		if err != nil {
			return err
		}
		printDiff(before, after)
		fmt.Printf("  in the file %.1f ms after the answer\n", float64(took.Microseconds())/1000)
	}
	title("One more pass, as cron would make it")
	status, out, err := t.agent.Sync(ctx)
	if err != nil || status != 0 {
		return fmt.Errorf("sync ended with status %d: %w\n%s", status, err, out)
	}
	fmt.Println("exit status 0: the files are current, nothing was written")
	return nil
}

func (t *tour) find(ctx context.Context, p harness.Provider, userName string) error {
	answer, err := p.Want(ctx, http.StatusOK, http.MethodGet, `/Users?filter=userName%20eq%20%22`+userName+`%22&startIndex=1&count=100`, nil)
	if err != nil {
		return err
	}
	fmt.Printf("GET    /Users?filter=userName eq %q  -> 200, totalResults %v\n", userName, answer["totalResults"])
	return nil
}

func (t *tour) create(ctx context.Context, p harness.Provider, name, path, request string) error {
	body, err := t.body(request)
	if err != nil {
		return err
	}
	id, err := p.Create(ctx, path, body)
	if err != nil {
		return err
	}
	t.ids[name] = id
	fmt.Printf("POST   %s  -> 201, id %s\n", path, id)
	return nil
}

func (t *tour) patch(ctx context.Context, p harness.Provider, status int, path, request string) error {
	return t.send(ctx, p, status, http.MethodPatch, path, request)
}

func (t *tour) send(ctx context.Context, p harness.Provider, status int, method, path, request string) error {
	body, err := t.body(request)
	if err != nil {
		return err
	}
	if _, err := p.Want(ctx, status, method, t.fill(path), body); err != nil {
		return err
	}
	fmt.Printf("%-6s %s  -> %d\n", method, t.fill(path), status)
	return nil
}

func (t *tour) body(request string) (string, error) {
	data, err := requests.ReadFile("requests/" + request + ".json")
	return t.fill(string(data)), err
}

func (t *tour) fill(s string) string {
	for name, id := range t.ids {
		s = strings.ReplaceAll(s, "{{"+name+"}}", id)
	}
	return s
}

// lookUp asks NSS for the keys.
func (t *tour) lookUp(ctx context.Context, database string, keys ...string) error {
	return t.inNamespace(ctx, append([]string{"getent", database}, keys...)...)
}

// inNamespace runs a program where NSS reads the agent's files, if it can.
func (t *tour) inNamespace(ctx context.Context, args ...string) error {
	if t.ns == nil {
		return nil
	}
	fmt.Println("\n$ " + strings.Join(args, " "))
	out, err := t.ns.Command(ctx, args...).CombinedOutput()
	fmt.Print(indent(string(out)))
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%s found not everything: %w", args[0], err)
	}
	return err
}

var fileNames = []string{"passwd", "group", "shadow"}

// files reads the rendered files; of a hash in shadow only its kind is kept.
func (t *tour) files() (map[string]string, error) {
	all := map[string]string{}
	for _, name := range fileNames {
		data, err := os.ReadFile(filepath.Join(t.agent.Dir, name))
		if err != nil {
			return nil, err
		}
		if name == "shadow" {
			data = hideHashes(data)
		}
		all[name] = string(data)
	}
	return all, nil
}

func hideHashes(shadow []byte) []byte {
	var b bytes.Buffer
	for line := range bytes.Lines(shadow) {
		f := bytes.SplitN(line, []byte(":"), 3)
		if i := bytes.Index(f[1], []byte("$6$")); i >= 0 {
			f[1] = append(f[1][:i:i], "$6$..."...)
		}
		b.Write(bytes.Join(f, []byte(":")))
	}
	return b.Bytes()
}

func lineHas(start, text string) func([]byte) bool {
	return func(content []byte) bool {
		for line := range strings.Lines(string(content)) {
			if strings.HasPrefix(line, start) && strings.Contains(line, text) {
				return true
			}
		}
		return false
	}
}

func printDiff(before, after map[string]string) {
	for _, name := range fileNames {
		for line := range strings.Lines(before[name]) {
			if !strings.Contains(after[name], line) {
				fmt.Printf("  %-6s - %s", name, line)
			}
		}
		for line := range strings.Lines(after[name]) {
			if !strings.Contains(before[name], line) {
				fmt.Printf("  %-6s + %s", name, line)
			}
		}
	}
}

func title(s string) { fmt.Printf("\n== %s\n", s) }

func indent(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString("  " + line)
	}
	return b.String()
}
