package scimserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"pwb/roster"
)

// maxLookup is the most bytes of an answer of /nss/v1: a group of half a million
// members has less.
const maxLookup = 16 << 20

var errLongLookup = fmt.Errorf("the line has more than %d MiB: only the files can hold this group", maxLookup>>20)

// lookup finds a line of a database by a name, or by an id if the name is empty. It
// appends the line to dst, and fails with ErrNotFound where there is none.
type lookup func(ctx context.Context, v View, name string, id uint32, dst []byte) ([]byte, error)

// lookups are the databases of /nss/v1: what a node that has no files, or not yet,
// asks for. They answer as the files of a node with the default policy do.
var lookups = map[string]lookup{
	"passwd": lookUpPasswd,
	"group":  lookUpGroup,
	"shadow": lookUpShadow,
}

// serveLookup is GET /nss/v1/DATABASE/name/NAME and /nss/v1/DATABASE/id/NUMBER: the
// line of that entry as in the file, 404 with an empty body where there is none.
// Shadow is for agents alone.
func (s *Server) serveLookup(w http.ResponseWriter, r *http.Request) {
	database, by, key := r.PathValue("database"), r.PathValue("by"), r.PathValue("key")
	find := lookups[database]
	scopes := []Scope{ScopeNodeAdmin, ScopeNodeUser}
	if database == "shadow" {
		scopes = scopes[:1]
	}
	switch by {
	case "name":
		if key == "" {
			find = nil
		}
		s.answerLookup(w, r, s.placesOf(database), scopes, find, key, 0)
	case "id":
		id, err := strconv.ParseUint(key, 10, 32)
		if err != nil || strconv.FormatUint(id, 10) != key {
			find = nil
		}
		s.answerLookup(w, r, s.placesOf(database), scopes, find, "", uint32(id))
	default:
		s.answerLookup(w, r, s.placesOf(database), scopes, nil, "", 0)
	}
}

// serveInitgroups is GET /nss/v1/initgroups/NAME: the gids of the groups that the
// account is a member of, with blanks between, without that of its primary group;
// an empty line where there is none other.
func (s *Server) serveInitgroups(w http.ResponseWriter, r *http.Request) {
	s.answerLookup(w, r, s.lookups, []Scope{ScopeNodeAdmin, ScopeNodeUser}, lookUpInitgroups, r.PathValue("name"), 0)
}

// placesOf keeps groups apart: those with many members take long.
func (s *Server) placesOf(database string) places {
	if database == "group" {
		return s.groupLookups
	}
	return s.lookups
}

// answerLookup answers with what find finds; without it, nothing is there. The
// answer is written when the view is over, so that no slow client holds it.
func (s *Server) answerLookup(w http.ResponseWriter, r *http.Request, in places, scopes []Scope, find lookup, name string, id uint32) {
	_, err := s.authenticate(w, r, scopes...)
	if err == nil && (find == nil || name != "" && roster.CheckName(name) != nil) {
		err = ErrNotFound
	}
	var line []byte
	if err == nil {
		line, err = s.lookUp(r.Context(), in, find, name, id)
	}
	if err != nil {
		s.refuseLookup(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(line)))
	_, _ = w.Write(line) // a client that has gone needs no answer
}

func (s *Server) lookUp(ctx context.Context, in places, find lookup, name string, id uint32) (line []byte, err error) {
	release, err := in.take(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	err = s.store.View(ctx, func(v View) error {
		line, err = find(ctx, v, name, id, nil)
		return err
	})
	return line, err
}

func (s *Server) refuseLookup(w http.ResponseWriter, r *http.Request, err error) {
	switch status := authStatus(w, err); {
	case status != http.StatusInternalServerError:
		plain(w, status, err.Error())
	case r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // the client has gone
	case errors.Is(err, ErrNotFound):
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusNotFound)
	case errors.Is(err, errNoPlace), errors.Is(err, ErrClosed):
		if errors.Is(err, errNoPlace) {
			s.meter.Refused(RefusedBusy)
		}
		w.Header().Set("Retry-After", "1")
		plain(w, http.StatusServiceUnavailable, err.Error())
	case errors.Is(err, errLongLookup):
		plain(w, http.StatusInternalServerError, err.Error())
	default:
		s.log.ErrorContext(r.Context(), "a lookup failed", "path", r.URL.Path, "error", err)
		plain(w, http.StatusInternalServerError, "the server's log says why")
	}
}

func lookUpPasswd(_ context.Context, v View, name string, id uint32, dst []byte) ([]byte, error) {
	a, err := findAccount(v, name, id)
	if err != nil {
		return nil, err
	}
	return a.Passwd(roster.Nologin).Append(dst), nil
}

func lookUpShadow(_ context.Context, v View, name string, id uint32, dst []byte) ([]byte, error) {
	a, err := findAccount(v, name, id)
	if err != nil {
		return nil, err
	}
	return a.Shadow().Append(dst), nil
}

func lookUpInitgroups(ctx context.Context, v View, name string, _ uint32, dst []byte) ([]byte, error) {
	a, err := findAccount(v, name, 0)
	if err != nil {
		return nil, err
	}
	err = v.GroupsOf(a.ID, func(c roster.Change) error {
		row, err := c.Row()
		if err != nil || row.Group.GID == a.GID {
			return err
		}
		if len(dst) > 0 {
			dst = append(dst, ' ')
		}
		dst = strconv.AppendUint(dst, uint64(row.Group.GID), 10)
		return goesOn(ctx, dst)
	})
	return append(dst, '\n'), err
}

func lookUpGroup(ctx context.Context, v View, name string, id uint32, dst []byte) ([]byte, error) {
	g, members, err := findGroup(v, name, id)
	if err != nil {
		return nil, err
	}
	dst = g.Line().Append(dst)
	if !members {
		return dst, nil
	}
	dst = dst[:len(dst)-1]
	var decoder roster.Decoder
	before := len(dst)
	err = v.AccountsIn(g.ID, func(c roster.Change) error {
		row, err := decoder.Row(c)
		if err != nil {
			return err
		}
		for i := -1; i < len(row.Account.Aliases); i++ {
			if len(dst) > before {
				dst = append(dst, ',')
			}
			if i < 0 {
				dst = append(dst, row.Account.Name...)
				continue
			}
			// initgroups(3) looks for the name that somebody logs in with.
			dst = append(dst, row.Account.Aliases[i]...)
		}
		return goesOn(ctx, dst)
	})
	return append(dst, '\n'), err
}

// goesOn fails when nobody waits for the line any more, or it is too long.
func goesOn(ctx context.Context, line []byte) error {
	if len(line) >= maxLookup {
		return errLongLookup
	}
	return ctx.Err()
}

// findAccount finds an account by its name or a former one that still works, by
// which it then goes; or by its uid if the name is empty. The ledger knows whose
// a name or number is or was; the account must have it now.
func findAccount(v View, name string, uid uint32) (*roster.Account, error) {
	owner, err := ownerOf(v, name, uid, false)
	if err != nil {
		return nil, err
	}
	return accountOf(v, owner, name, uid)
}

func accountOf(v View, subject, name string, uid uint32) (*roster.Account, error) {
	row, err := v.Row(roster.AccountKey(subject))
	if err != nil {
		return nil, err
	}
	a := row.Account
	switch {
	case name == "" && a.UID == uid, name == a.Name && name != "":
		return a, nil
	case name == "":
		return nil, ErrNotFound
	}
	for _, alias := range a.Aliases {
		if alias == name {
			a.Name = name
			return a, nil
		}
	}
	return nil, ErrNotFound
}

// findGroup finds a group by its name, or by its gid if that is empty, and says
// whether it can have members: an account's private group, which goes by its
// aliases, too, has none.
func findGroup(v View, name string, gid uint32) (g *roster.Group, members bool, err error) {
	owner, err := ownerOf(v, name, gid, true)
	if err != nil {
		return nil, false, err
	}
	row, err := v.Row(roster.GroupKey(owner))
	if err == nil && (name == row.Group.Name || name == "" && row.Group.GID == gid) {
		return row.Group, true, nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, false, err
	}
	a, err := accountOf(v, owner, name, gid)
	if err != nil {
		return nil, false, err
	}
	if !a.PrivateGroup() {
		return nil, false, ErrNotFound
	}
	return &roster.Group{ID: a.ID, Name: a.Name, GID: a.GID}, false, nil
}

// ownerOf is the subject whose a name is or was, or without one a uid or a gid.
func ownerOf(v View, name string, id uint32, group bool) (subject string, err error) {
	if name != "" {
		owner, err := v.NameOwner(name)
		if err == nil && owner.Subject == "" {
			err = ErrNotFound
		}
		return owner.Subject, err
	}
	uid, gid, err := v.IDOwners(id)
	if group {
		uid = gid
	}
	if err == nil && uid.Subject == "" {
		err = ErrNotFound
	}
	return uid.Subject, err
}
