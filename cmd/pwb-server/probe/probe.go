// Package probe asks a SCIM endpoint what Okta, Entra ID and WSO2 ask, and looks whether
// it answers as RFC 7643 and RFC 7644 say. Unless it is to write, it only reads; what it
// writes it removes again.
package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"pwb/cmd/doctor"
	"pwb/scimserver"
)

// Config says what to ask.
type Config struct {
	// URL is the endpoint's base, such as https://pwb.example/scim/v2.
	URL string
	// TokenFile holds a bearer token, which not everybody may read.
	TokenFile string
	// CACert is a PEM file of authorities to trust in place of the system's.
	CACert string
	// Write lets the probe create, change and remove a user and a group.
	Write bool
}

// Times that are given to one request, and to the removal of what was created.
const (
	requestTime = 10 * time.Second
	cleanTime   = 30 * time.Second
	maxAnswer   = 8 << 20 // bytes
)

// prober is a probe while it runs.
type prober struct {
	cfg    Config
	base   *url.URL
	token  string
	client *http.Client
	found  []doctor.Finding
	// id is random, and part of every name.
	id string
	// user and group are the ids of what was created and not removed yet. When the answer
	// to a creation was lost, they are looked for by name.
	user, group       string
	userAsked, gAsked bool
	// refused says that the token was.
	refused bool
}

// Run probes the endpoint. It fails when it could not: the token cannot be read, or
// nobody answers. What was found until then, it returns as well.
func Run(ctx context.Context, cfg Config) ([]doctor.Finding, error) {
	p := &prober{cfg: cfg, id: strings.ToLower(rand.Text()[:10])}
	if err := p.prepare(); err != nil {
		return nil, err
	}
	defer p.client.CloseIdleConnections()
	err := p.read(ctx)
	if err == nil && cfg.Write && !p.refused {
		err = p.write(ctx)
		// Also after Ctrl-C.
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
		defer cancel()
		err = errors.Join(err, p.clean(clean))
	} else if err == nil && !cfg.Write {
		p.skip("write", "users and groups are created and removed with --write only")
	}
	return p.found, err
}

func (p *prober) prepare() (err error) {
	if p.base, err = url.Parse(p.cfg.URL); err != nil || p.base.Host == "" || p.base.Scheme != "https" && p.base.Scheme != "http" {
		return fmt.Errorf("--scim %.200q is not a URL such as https://pwb.example/scim/v2", p.cfg.URL)
	}
	if p.base.Scheme == "http" && p.base.Hostname() != "localhost" && !strings.HasPrefix(p.base.Hostname(), "127.") && p.base.Hostname() != "::1" {
		return fmt.Errorf("--scim %s would show the token to the network: use https", p.base.Redacted())
	}
	if p.token, err = scimserver.ReadSecret(p.cfg.TokenFile); err != nil {
		return fmt.Errorf("--token-file: %w", err)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if p.cfg.CACert != "" {
		pem, err := readCA(p.cfg.CACert)
		if err != nil {
			return fmt.Errorf("--ca-cert: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("--ca-cert %s holds no certificate in PEM form", p.cfg.CACert)
		}
	}
	p.client = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: conf, Proxy: http.ProxyFromEnvironment},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       requestTime,
	}
	return nil
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   map[string]any // nil when it is no JSON object
	text   string
}

// ask sends a request. Its path begins with a slash; a body that is not nil is sent as
// its JSON.
func (p *prober) ask(ctx context.Context, method, path string, body any) (*answer, error) {
	return p.send(ctx, method, path, body, p.token)
}

func (p *prober) send(ctx context.Context, method, path string, body any, token string) (*answer, error) {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	// The base may have a query, as Entra ID's has a flag.
	target := *p.base
	query := target.RawQuery
	path, more, _ := strings.Cut(path, "?")
	target.Path = strings.TrimRight(target.Path, "/") + path
	target.RawPath = ""
	switch {
	case query == "":
		target.RawQuery = more
	case more != "":
		target.RawQuery = more + "&" + query
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Accept", "application/scim+json, application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/scim+json; charset=utf-8")
	}
	resp, err := p.client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return nil, fmt.Errorf("%s %s: %w", method, p.base.Redacted()+path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, p.base.Redacted()+path, err)
	}
	a := &answer{status: resp.StatusCode, header: resp.Header, text: strings.ReplaceAll(string(text), p.token, "[token]")}
	var object map[string]any
	if json.Unmarshal(text, &object) == nil {
		a.body = object
	}
	return a, nil
}

// well notes that a probe was answered as it is to be.
func (p *prober) well(name, what string) {
	p.found = append(p.found, doctor.Finding{Check: name, State: doctor.OK, What: what})
}

func (p *prober) skip(name, why string) {
	p.found = append(p.found, doctor.Finding{Check: name, State: doctor.Skipped, What: why})
}

// wrong notes that it was not. The section of the RFC is in why.
func (p *prober) wrong(state doctor.State, name, section, who string, a *answer, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if a != nil {
		const most = 200
		text := a.text
		if len(text) > most {
			text = text[:most] + "…"
		}
		what += fmt.Sprintf("; the answer was %d %q", a.status, text)
	}
	p.found = append(p.found, doctor.Finding{Check: name, State: state, What: what, Why: section + ": " + who, Advice: "correct the endpoint; what it logs of this request may say why"})
}

// clean removes what the probe created, and says what it could not.
func (p *prober) clean(ctx context.Context) error {
	var failed []error
	for _, k := range []struct {
		path, attribute, name string
		id                    *string
		asked                 bool
	}{
		{"/Groups", "displayName", p.groupName(), &p.group, p.gAsked},
		{"/Users", "userName", p.userName(), &p.user, p.userAsked},
	} {
		if !k.asked {
			continue
		}
		if *k.id == "" { // the answer was lost, or had no id
			*k.id = p.find(ctx, k.path, k.attribute, k.name)
		}
		if *k.id == "" {
			continue
		}
		a, err := p.ask(ctx, http.MethodDelete, k.path+"/"+url.PathEscape(*k.id), nil)
		if err == nil && a.status/100 != 2 && a.status != http.StatusNotFound {
			err = fmt.Errorf("it answered %d", a.status)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s with the id %s (%s) could not be removed: %w: remove it by hand", k.path, *k.id, k.name, err))
			continue
		}
		*k.id = ""
	}
	return errors.Join(failed...)
}

// find looks for a resource of the probe's own by its name.
func (p *prober) find(ctx context.Context, path, attribute, name string) string {
	a, err := p.ask(ctx, http.MethodGet, path+"?filter="+url.QueryEscape(attribute+` eq "`+name+`"`), nil)
	if err != nil {
		return ""
	}
	for _, r := range a.resources() {
		if got, _ := r[attribute].(string); strings.EqualFold(got, name) {
			id, _ := r["id"].(string)
			return id
		}
	}
	return ""
}

// resources are those of a list.
func (a *answer) resources() (all []map[string]any) {
	list, _ := a.body["Resources"].([]any)
	for _, r := range list {
		if object, ok := r.(map[string]any); ok {
			all = append(all, object)
		}
	}
	return all
}
