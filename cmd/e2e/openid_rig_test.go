package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// openID is a real OpenID provider, the npm package oidc-provider, on loopback.
type openID struct {
	issuer, file string

	mu       sync.Mutex
	settings struct {
		Clients  []map[string]any          `json:"clients"`
		Accounts map[string]map[string]any `json:"accounts"`
	}
}

const clientSecret = "a secret of the client, which is long enough"

// installed is the directory that holds oidc-provider as package-lock.json pins it,
// installed once for all tests, beside the binaries.
var installed = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(string(bin), "openid")
	if err := os.CopyFS(dir, os.DirFS("testdata/openid")); err != nil {
		return dir, err
	}
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return dir, nil
})

func startOpenID(t testing.TB) *openID {
	t.Helper()
	for _, p := range []string{"node", "npm"} {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, p+" is needed", err)
		}
	}
	dir, err := installed()
	if err != nil {
		missing(t, "oidc-provider cannot be installed from npm", err)
	}
	o := &openID{file: filepath.Join(t.TempDir(), "settings.json")}
	o.settings.Accounts = map[string]map[string]any{}
	cmd := exec.Command("node", filepath.Join(dir, "provider.mjs"), o.file)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal("the OpenID provider ended at once")
	}
	o.issuer = strings.TrimSpace(line)
	return o
}

// admit makes somebody the provider's client, before it is asked first.
func (o *openID) admit(t testing.TB, id, redirect string) {
	t.Helper()
	o.write(t, func() {
		o.settings.Clients = append(o.settings.Clients, map[string]any{"client_id": id, "client_secret": clientSecret, "redirect_uris": []string{redirect}})
	})
}

// says sets the claims of a person.
func (o *openID) says(t testing.TB, login string, claims map[string]any) {
	t.Helper()
	o.write(t, func() { o.settings.Accounts[login] = claims })
}

func (o *openID) write(t testing.TB, change func()) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
	data, err := json.Marshal(o.settings)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.file+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(o.file+".new", o.file); err != nil {
		t.Fatal(err)
	}
}

// newOpenIDRig is a rig whose server registers those whom a real provider vouches for.
func newOpenIDRig(t testing.TB, flags ...string) (*rig, *openID) {
	t.Helper()
	o := startOpenID(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(clientSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, append([]string{
		"--user-provisioning-register-on-first-login", "--auth-openid-issuer", o.issuer, "--auth-openid-client-id", "pwb", "--auth-openid-client-secret-file", secret,
		"--auth-openid-groups-claim", "groups", "--auth-openid-scopes", "openid,profile,email,groups", "--auth-openid-wait", "30s",
	}, flags...)...)
	o.admit(t, "pwb", r.server.URL+"/openid/callback")
	return r, o
}

// browser is a headless Chromium of its own.
type browser struct {
	t   testing.TB
	ctx context.Context
}

func newBrowser(t testing.TB) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		missing(t, "chromium is needed", err)
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1000, 760),
		chromedp.Flag("headless", true), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		// The provider's pages name a font of somebody else's.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"),
	}
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, quit := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits until it has gone
		quit()
		end()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return &browser{t, ctx}
}

func (b *browser) does(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ask(b, what, chromedp.Steps(steps...))
}

// ask returns what an action finds.
func ask[T any](b *browser, what string, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 60*time.Second)
	defer cancel()
	found, err := chromedp.Run(ctx, action)
	if err != nil {
		page, _ := chromedp.Run(b.ctx, chromedp.Text("body"))
		b.t.Fatalf("%s: %v, the browser shows:\n%s", what, err, page)
	}
	return found
}

// signIn signs a person in at the provider, who asks for name and consent, and
// returns what the page at the end says.
func (b *browser) signIn(server, login string) string {
	b.t.Helper()
	b.enter(server+"/openid/login", login)
	return b.arrives(server)
}

// enter follows a link to the provider, who asks for name and consent.
func (b *browser) enter(link, login string) {
	b.t.Helper()
	b.does("sign in as "+login,
		chromedp.Navigate(link),
		chromedp.SendKeys(`input[name="login"]`, login), chromedp.SendKeys(`input[name="password"]`, "any"), chromedp.Click(`button[type="submit"]`),
		chromedp.WaitVisible(`//button[text()="Continue"]`), chromedp.Click(`//button[text()="Continue"]`))
}

// again signs in who has a session at the provider already.
func (b *browser) again(server string) string {
	b.t.Helper()
	b.does("sign in again", chromedp.Navigate(server+"/openid/login"))
	return b.arrives(server)
}

func (b *browser) arrives(server string) string {
	b.t.Helper()
	text := ask(b, "come back", chromedp.Text("main"))
	if at := ask(b, "look where", chromedp.Location()); !strings.HasPrefix(at, server+"/openid/callback?") {
		b.t.Errorf("the browser is at %s", at)
	}
	return text
}

// picture keeps a screenshot where PWB_PICTURES names a directory.
func (b *browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("PWB_PICTURES")
	if dir == "" {
		return
	}
	png := ask(b, "take a picture", chromedp.CaptureScreenshot())
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
