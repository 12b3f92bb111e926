package checkup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"time"

	"pwb/cmd/doctor"
	"pwb/cmd/pwb-agent/setup"
	"pwb/syncer"
	"pwb/syncer/credential"
)

const (
	scopeAdmin = "node-admin"
	scopeUser  = "node-user"
)

// enroll is how a node gets tokens.
func (n *Node) enroll() string {
	return "make an enrolment token on the server (pwb-server token create NAME --scope enroll), and here: pwb-agent enroll --force --token-file FILE"
}

func (n *Node) tokenFile(_ context.Context, r *doctor.Report) {
	fi, err := os.Stat(n.TokenFile)
	if blind(r, err) {
		return
	}
	if err != nil {
		r.Fail(doctor.Problem{What: "the node-admin token cannot be read: " + err.Error(), Why: whyServer, Advice: n.enroll()})
		return
	}
	if !fi.Mode().IsRegular() {
		r.Fail(doctor.Problem{What: n.TokenFile + " is not a regular file", Why: whyServer, Advice: n.enroll()})
		return
	}
	if !guarded(r, n.TokenFile, 0o077, "the agent does not use it: whoever has it reads everybody's password hash. Consider another token: others may have read this one") {
		return
	}
	if _, err := credential.Token(n.TokenFile); err != nil && !blind(r, err) {
		r.Fail(doctor.Problem{What: err.Error(), Why: whyServer, Advice: n.enroll()})
		return
	} else if err == nil {
		r.OK("%s", n.TokenFile)
	}
}

// who is what the server says of the token of a file.
type who struct {
	syncer.Identity
	err error
}

func (n *Node) who(file string, shared bool) who {
	return once(n, "token "+file, func() (w who) {
		c, err := n.client(file, shared)
		if err != nil {
			return who{err: err}
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), contactTime)
		defer cancel()
		w.Identity, w.err = c.WhoAmI(ctx)
		return w
	})
}

// usable reports whether the file holds a token that can be sent.
func usable(file string, shared bool) bool {
	read := credential.Token
	if shared {
		read = credential.SharedToken
	}
	_, err := read(file)
	return err == nil
}

// accepted tells whether the server takes the token of a file for its scope.
func (n *Node) accepted(r *doctor.Report, file, scope string) (w who, ok bool) {
	if n.met(r) == nil {
		return w, false
	}
	if !usable(file, scope == scopeUser) {
		r.Skip("%s cannot be used: see the check of that file", file)
		return w, false
	}
	w = n.who(file, scope == scopeUser)
	var refused *syncer.StatusError
	switch {
	case w.err == nil:
		return w, true
	case errors.As(w.err, &refused) && (refused.Code == http.StatusNotFound || refused.Code == http.StatusMethodNotAllowed):
		r.Skip("the server is too old to say what a token is")
	case errors.As(w.err, &refused) && refused.Code == http.StatusUnauthorized:
		r.Fail(doctor.Problem{What: "the server refuses the token in " + file + ": it is unknown, revoked or expired", Why: whyServer, Advice: n.enroll()})
	case refused != nil:
		r.Skip("the server did not say what the token is: %v", w.err)
	default:
		r.Skip("the token was not sent: %v", w.err)
	}
	return w, false
}

func (n *Node) token(_ context.Context, r *doctor.Report) {
	n.scope(r, n.TokenFile, scopeAdmin)
}

func (n *Node) scope(r *doctor.Report, file, scope string) {
	w, ok := n.accepted(r, file, scope)
	switch {
	case !ok:
	case w.Scope != scope:
		r.Fail(doctor.Problem{
			What:   fmt.Sprintf("the token in %s, %q, has scope %s, not %s", file, w.Identity.Name, w.Scope, scope),
			Why:    "the server refuses what this node asks with it",
			Advice: n.enroll(),
		})
	default:
		r.OK("%q, scope %s", w.Identity.Name, w.Scope)
	}
}

// tokenEndsSoon is how long before its end a token is told of.
const tokenEndsSoon = 14 * 24 * time.Hour

func (n *Node) tokenExpiry(_ context.Context, r *doctor.Report) {
	w, ok := n.accepted(new(doctor.Report), n.TokenFile, scopeAdmin)
	if !ok {
		r.Skip("the server did not say when the token ends: see token")
		return
	}
	left := w.Expires.Sub(w.Now)
	switch {
	case w.Expires.IsZero():
		r.OK("it does not end")
	case left < tokenEndsSoon:
		r.Warn(doctor.Problem{
			What: fmt.Sprintf("the token %q ends on %s", w.Identity.Name, w.Expires.UTC().Format("2006-01-02 15:04 UTC")),
			Why:  "then the server refuses this node, and nobody is locked out here any more", Advice: n.enroll(),
		})
	default:
		r.OK("until %s", w.Expires.UTC().Format("2006-01-02"))
	}
}

// userTokenPath is the user token of the NSS module; empty where the module is not used.
func (n *Node) userTokenPath() string {
	content, err := text(n.ModuleConfig)
	if err != nil || content == "" {
		return ""
	}
	if path, there := setup.ModuleKey(content, "user-token-path"); there {
		return n.in(path)
	}
	return n.in(n.UserToken)
}

func (n *Node) userTokenFile(_ context.Context, r *doctor.Report) {
	file := n.userTokenPath()
	if file == "" {
		r.OK("not used: there is no %s", n.ModuleConfig)
		return
	}
	const why = "where no agent runs, people look up with it accounts that are not in the files yet"
	fi, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.Warn(doctor.Problem{What: file + " is not there", Why: why, Advice: n.enroll()})
	case blind(r, err):
	case err != nil:
		r.Fail(doctor.Problem{What: err.Error(), Why: why, Advice: n.enroll()})
	case fi.Mode().Perm()&0o044 != 0o044:
		r.Fail(doctor.Problem{What: fmt.Sprintf("%s has mode %04o, so that people cannot read it", file, fi.Mode().Perm()), Why: why, Mend: doctor.Words("chmod", fmt.Sprintf("%04o", fi.Mode().Perm()&^0o022|0o444), file)})
	case guarded(r, file, 0o022, "it is not used: whoever can write it chooses who asks the server"):
		r.OK("%s", file)
	}
}

func (n *Node) userToken(_ context.Context, r *doctor.Report) {
	file := n.userTokenPath()
	switch {
	case file == "":
		r.OK("not used: there is no %s", n.ModuleConfig)
	case !exists(file):
		r.Skip("%s is not there", file)
	default:
		n.scope(r, file, scopeUser)
	}
}
