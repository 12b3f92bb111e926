package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pwb/syncer"
)

// Enrolment puts tokens of a node's own into place.
type Enrolment struct {
	Root string
	// AdminToken and UserToken are the files, with modes 0600 and 0644.
	AdminToken, UserToken string
	// ConfigFile gets ConfigText when it is not there, or behind what is there when
	// that is comments alone: so packages bring it.
	ConfigFile, ConfigText string
	// Force replaces tokens that are there.
	Force bool

	// Step runs each step of a write; tests break steps with it.
	Step func(name string, op func() error) error
}

// pendingSuffix ends the names of files with tokens that the server may not know yet.
const pendingSuffix = ".enrolling"

// Run makes two tokens, has ask tell the server, and puts them into place. Until that is
// done they lie beside their places, for root only: after a lost answer, or a kill at
// any moment, another Run asks for the same two, and finishes.
func (e Enrolment) Run(ctx context.Context, ask func(ctx context.Context, admin, user syncer.NodeToken) error) error {
	t := &tree{root: e.Root, step: e.Step}
	admin, user, err := e.pending(t)
	if err != nil {
		return err
	}
	if err := ask(ctx, admin, user); err != nil {
		var refused *syncer.StatusError
		if errors.As(err, &refused) && slices.Contains(final, refused.Code) {
			return errors.Join(err, t.remove(e.AdminToken+pendingSuffix), t.remove(e.UserToken+pendingSuffix))
		}
		return fmt.Errorf("%w; run it again: it asks for the same tokens, which costs no further use of the enrolment token", err)
	}
	if err := e.configure(t); err != nil {
		return err
	}
	// The node-admin token comes last: it says that the node is enrolled.
	for _, f := range []struct {
		path  string
		token syncer.NodeToken
		mode  fs.FileMode
	}{{e.UserToken, user, 0o644}, {e.AdminToken, admin, 0o600}} {
		if err := t.write(f.path, f.token.Text()+"\n", status{Mode: f.mode, UID: -1, GID: -1}); err != nil {
			return err
		}
	}
	return errors.Join(t.remove(e.UserToken+pendingSuffix), t.remove(e.AdminToken+pendingSuffix))
}

// final are the refusals after which these tokens are of no use. Others, such as 429,
// say nothing of what an answer that was lost may have said before.
var final = []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict}

// Configures reports whether Run is to write ConfigText.
func (e Enrolment) Configures() bool {
	_, _, is := e.configures(&tree{root: e.Root})
	return is
}

// configures is false for what cannot be looked at, too: a link is somebody else's.
func (e Enrolment) configures(t *tree) (st status, content string, is bool) {
	st, content, err := t.look(e.ConfigFile)
	return st, content, err == nil && e.ConfigText != "" && unset(content)
}

// unset reports whether a text of YAML has comments alone.
func unset(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

func (e Enrolment) configure(t *tree) error {
	st, content, is := e.configures(t)
	switch {
	case !is:
		return nil
	case !st.Exists:
		st = status{Mode: 0o644, UID: -1, GID: -1}
		if err := t.mkdirs(path.Dir(e.ConfigFile)); err != nil {
			return err
		}
	case content != "":
		content = strings.TrimRight(content, "\n") + "\n\n"
	}
	st.Modified = time.Time{} // now
	return t.write(e.ConfigFile, content+e.ConfigText, st)
}

// pending are the tokens to ask for: those of a try before, or new ones.
func (e Enrolment) pending(t *tree) (admin, user syncer.NodeToken, err error) {
	admin, user, err = e.left(t)
	if !errors.Is(err, fs.ErrNotExist) {
		return admin, user, err
	}
	for _, file := range []string{e.AdminToken, e.UserToken} {
		st, content, err := t.look(file)
		if err != nil {
			return admin, user, err
		}
		if st.Exists && content != "" && !e.Force {
			return admin, user, fmt.Errorf("%s holds a token already: this node is enrolled. If it is to have others, revoke these at the server and add --force", file)
		}
	}
	admin, user = syncer.NewNodeToken(), syncer.NewNodeToken()
	for _, f := range []struct {
		path  string
		token syncer.NodeToken
	}{{e.UserToken, user}, {e.AdminToken, admin}} {
		if err := t.mkdirs(path.Dir(f.path)); err != nil {
			return admin, user, err
		}
		if err := t.write(f.path+pendingSuffix, f.token.Text()+"\n", status{Mode: 0o600, UID: -1, GID: -1}); err != nil {
			return admin, user, err
		}
	}
	return admin, user, nil
}

// left reads what a try before left; fs.ErrNotExist where it left nothing that can be
// gone on with.
func (e Enrolment) left(t *tree) (admin, user syncer.NodeToken, err error) {
	for _, f := range []struct {
		path string
		into *syncer.NodeToken
	}{{e.AdminToken, &admin}, {e.UserToken, &user}} {
		st, content, err := t.look(f.path + pendingSuffix)
		if err != nil {
			return admin, user, err
		}
		if !st.Exists && f.into == &user { // in place already
			st, content, err = t.look(f.path)
			if err != nil {
				return admin, user, err
			}
		}
		if !st.Exists {
			return admin, user, fs.ErrNotExist
		}
		if *f.into, err = syncer.ParseNodeToken(content); err != nil {
			return admin, user, fmt.Errorf("%s: %w: remove it and run again", f.path+pendingSuffix, err)
		}
	}
	return admin, user, nil
}

// mkdirs makes a directory and those above it, with mode 0755.
func (t *tree) mkdirs(name string) error {
	full, err := t.path(filepath.Join(name, "x"))
	if err != nil {
		return err
	}
	return os.MkdirAll(filepath.Dir(full), 0o755)
}
