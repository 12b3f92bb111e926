package probe

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"pwb/cmd/doctor"
)

func readCA(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 4<<20))
}

func (p *prober) userName() string  { return "pwb-probe-" + p.id + "@probe.invalid" }
func (p *prober) groupName() string { return "pwb-probe-" + p.id }

// read makes the probes that change nothing.
func (p *prober) read(ctx context.Context) error {
	a, err := p.ask(ctx, http.MethodGet, "/Users?startIndex=1&count=1", nil)
	if err != nil {
		return err // nobody answers
	}
	const list = "RFC 7644, 3.4.2"
	switch {
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		p.wrong(doctor.Failure, "token", "RFC 7644, 2", "no provider gets further", a, "the token is refused")
		p.refused = true
		return nil
	case a.status != http.StatusOK || !isList(a):
		p.wrong(doctor.Failure, "list", list, "what Okta and Google ask first", a, "GET /Users?startIndex=1&count=1 did not answer with a list")
	case len(a.resources()) > 1:
		p.wrong(doctor.Failure, "list", "RFC 7644, 3.4.2.4", "an import of Okta's takes each user several times", a, "count=1 answered with %d resources", len(a.resources()))
	default:
		p.well("list", list)
	}
	p.mediaType(a)
	for _, probe := range []func(context.Context) error{p.refuses, p.describes, p.finds} {
		if err := probe(ctx); err != nil {
			return err
		}
	}
	return nil
}

func isList(a *answer) bool {
	_, total := a.body["totalResults"].(float64)
	schemas, _ := a.body["schemas"].([]any)
	return total && len(schemas) == 1 && schemas[0] == "urn:ietf:params:scim:api:messages:2.0:ListResponse"
}

func (p *prober) mediaType(a *answer) {
	got := a.header.Get("Content-Type")
	if kind, _, _ := strings.Cut(got, ";"); !strings.EqualFold(strings.TrimSpace(kind), "application/scim+json") {
		p.wrong(doctor.Warning, "media-type", "RFC 7644, 8.1", "strict clients do not read another", nil, "answers have the type %q, not application/scim+json", got)
		return
	}
	p.well("media-type", "RFC 7644, 8.1")
}

// refuses looks whether somebody without a good token is kept out.
func (p *prober) refuses(ctx context.Context) error {
	for _, token := range []string{"", "pwb-probe-of-a-token-that-nobody-made"} {
		a, err := p.send(ctx, http.MethodGet, "/Users?count=1", nil, token)
		if err != nil {
			return err
		}
		if a.status != http.StatusUnauthorized {
			p.wrong(doctor.Failure, "no-token", "RFC 7644, 2", "anybody reads, and perhaps writes, who exists", nil, "without a good token the status is %d, not 401", a.status)
			return nil
		}
	}
	p.well("no-token", "RFC 7644, 2")
	return nil
}

// describes asks for what the endpoint says of itself.
func (p *prober) describes(ctx context.Context) error {
	for _, k := range []struct {
		name, path, section string
		has                 func(a *answer) bool
		wants               string
	}{
		{"service-provider-config", "/ServiceProviderConfig", "RFC 7643, 5", func(a *answer) bool {
			_, patch := a.body["patch"].(map[string]any)
			_, filter := a.body["filter"].(map[string]any)
			return patch && filter
		}, "patch and filter"},
		{"schemas", "/Schemas", "RFC 7643, 7", func(a *answer) bool { return has(a, "urn:ietf:params:scim:schemas:core:2.0:User") }, "the User schema"},
		{"resource-types", "/ResourceTypes", "RFC 7643, 6", func(a *answer) bool { return has(a, "User") }, "the type User"},
	} {
		a, err := p.ask(ctx, http.MethodGet, k.path, nil)
		if err != nil {
			return err
		}
		if a.status != http.StatusOK || !k.has(a) {
			p.wrong(doctor.Warning, k.name, k.section, "authentik, OneLogin and others read it first", a, "GET %s does not name %s", k.path, k.wants)
			continue
		}
		p.well(k.name, k.section)
	}
	return nil
}

// has reports whether a list has a resource with that id or name.
func has(a *answer, name string) bool {
	for _, r := range a.resources() {
		if r["id"] == name || r["name"] == name {
			return true
		}
	}
	return false
}

// finds looks for somebody who is not there, as all providers do before they create
// anybody, and as Entra ID does to test a connection.
func (p *prober) finds(ctx context.Context) error {
	name := p.userName()
	for _, k := range []struct{ name, filter, section, who string }{
		{"filter-missing", `userName eq "` + name + `"`, "RFC 7644, 3.4.2.2", "Entra ID's test of the connection"},
		{"filter-bare", `userName Eq ` + name, "RFC 7644, 3.4.2.2", "WSO2 and authentik write it so: the operator with a capital, the value without quotes"},
		{"filter-external", `externalId eq "` + p.id + `"`, "RFC 7643, 3.1", "Okta and Entra ID match people by it"},
	} {
		a, err := p.ask(ctx, http.MethodGet, "/Users?filter="+url.QueryEscape(k.filter), nil)
		if err != nil {
			return err
		}
		switch {
		case a.status != http.StatusOK || !isList(a):
			state := doctor.Failure
			if k.name == "filter-bare" { // RFC 7644 wants quotes
				state = doctor.Warning
			}
			p.wrong(state, k.name, k.section, k.who, a, "a filter that finds nobody (%s) did not answer with an empty list", k.filter)
		case a.body["totalResults"] != 0.0 || len(a.resources()) > 0:
			p.wrong(doctor.Failure, k.name, k.section, k.who+": the wrong person would be changed", nil, "a filter that fits nobody (%s) found somebody", k.filter)
		default:
			p.well(k.name, k.section)
		}
	}
	a, err := p.ask(ctx, http.MethodGet, "/Users?filter="+url.QueryEscape(`userName eq`), nil)
	if err != nil {
		return err
	}
	if a.status != http.StatusBadRequest || a.body["status"] != fmt.Sprint(http.StatusBadRequest) {
		p.wrong(doctor.Warning, "filter-wrong", "RFC 7644, 3.12", "providers show what is in it", a, "a filter that is none was not refused with a SCIM error")
	} else {
		p.well("filter-wrong", "RFC 7644, 3.12")
	}
	a, err = p.ask(ctx, http.MethodGet, "/Users/pwb-probe-"+p.id, nil)
	if err != nil {
		return err
	}
	schemas, _ := a.body["schemas"].([]any)
	if a.status != http.StatusNotFound || len(schemas) != 1 || schemas[0] != "urn:ietf:params:scim:api:messages:2.0:Error" {
		p.wrong(doctor.Failure, "not-found", "RFC 7644, 3.12", "Okta and authentik create somebody anew after it", a, "somebody who is not there was not answered with a SCIM error 404")
	} else {
		p.well("not-found", "RFC 7644, 3.12")
	}
	return nil
}
