package signin

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"

	"pwb/scimserver"
)

var (
	//go:embed page.html
	pageText string
	//go:embed page.css
	pageStyle string

	pageTemplate = template.Must(template.New("page").Parse(pageText))
	styleSource  = func() string {
		sum := sha256.Sum256([]byte(pageStyle))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}()
)

// page is what a person gets to see.
type page struct {
	status int
	Title  string
	Text   []string
	// Account, if there is one, and how far it has come.
	Account       *scimserver.Registration
	Status, Class string
	// Again offers to sign in, SignOut to sign out.
	Again, SignOut bool
	// forms are origins that a form may lead to, besides our own.
	forms string
}

// Style is our own text; the policy knows its digest.
func (page) Style() template.CSS { return template.CSS(pageStyle) }

// show writes a page that runs nothing, loads nothing, is kept nowhere and stands
// in no frame.
func show(w http.ResponseWriter, p page) {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		panic(err) // it is our own, and tests fill it
	}
	h := w.Header()
	protect(h)
	h.Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; style-src %s; form-action 'self'%s; frame-ancestors 'none'; base-uri 'none'", styleSource, p.forms))
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(p.status)
	_, _ = w.Write(b.Bytes()) // a browser that has gone needs no page
}

// protect sets what every answer of the sign-in has.
func protect(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

// origin is the scheme and host of a URL, as a source of the policy.
func origin(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return ""
	}
	return " " + u.Scheme + "://" + u.Host
}

// accountPage tells a person what the account is, and where.
func accountPage(reg scimserver.Registration, r scimserver.Rendering, endSession string) page {
	p := page{status: http.StatusOK, Title: "Your Linux account", Account: &reg, SignOut: endSession != "", forms: origin(endSession)}
	if reg.Created {
		p.Title = "Your Linux account is made"
	}
	switch {
	case r.All() && r.Nodes == 1:
		p.Status, p.Class = "It is on the one machine that is connected now. You can log in.", "ready"
	case r.All():
		p.Status, p.Class = fmt.Sprintf("It is on all %d machines that are connected now. You can log in.", r.Nodes), "ready"
	case r.Nodes > 0:
		p.Status, p.Class = fmt.Sprintf("It is on %d of %d machines that are connected now; the others follow within moments.", r.Shown, r.Nodes), "soon"
	default:
		p.Status, p.Class = "Machines take it over when they next ask, within minutes as a rule.", "soon"
	}
	return p
}

// causePage tells a person why there is no account. What administrators should
// know besides is in the log.
func causePage(e *scimserver.NotRegistered) page {
	p := page{status: e.Status(), Class: "wrong", Status: "Please ask your administrators: the server's log tells them why."}
	switch e.Cause {
	case scimserver.Locked:
		p.Title, p.Text = "Your Linux account is locked", []string{"You are signed in, but the account may not be used. Signing in again does not change that."}
	case scimserver.Departed:
		p.Title, p.Text = "Your Linux account was closed", []string{"It was deleted, and signing in does not bring it back. An administrator can."}
	case scimserver.Taken:
		p.Title, p.Text = "This login name is somebody else's", []string{"An account of that name is there already and is not known to be yours."}
	case scimserver.Replayed:
		p.Title, p.Text, p.Status, p.Again = "This sign-in is over", []string{"Each sign-in counts once."}, "", true
	case scimserver.Untrusted:
		p.Title, p.Text, p.Again = "The sign-in could not be verified", []string{"What the provider said of you did not pass the checks."}, true
	default:
		p.Title, p.Text = "No Linux account follows from your sign-in", []string{"What the provider says of you makes no account."}
	}
	return p
}
