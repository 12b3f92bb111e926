package scimserver

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"pwb/roster"
	"pwb/scimserver/ledger"
	"pwb/scimserver/scim"
)

// accountWish reads what a user's attributes want of the account. Numbers and keys
// of no use that old has too, which is nil of a new user, want nothing: an older
// version stored them and did not honour them.
func accountWish(old, user scim.Resource, hash string) (ledger.Wish, error) {
	workbench, posix := extension(user, scim.WorkbenchURN), extension(user, scim.PosixUserURN)
	w := ledger.Wish{
		UserName:   text(user["userName"]),
		Folded:     scim.Fold(text(user["userName"])),
		ExternalID: text(user["externalId"]),
		Gecos:      gecos(user),
		Hash:       hash,
		Active:     active(user),
		Name:       text(workbench["posixUserName"]),
		Home:       text(workbench["homeDirectory"]),
		Shell:      text(posix["loginShell"]),
	}
	if admin, said := workbench["admin"].(bool); said {
		w.Admin = &admin
	}
	if end := text(posix["endDate"]); end != "" {
		at, err := time.Parse(time.RFC3339, end)
		if err != nil {
			return w, scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "endDate %.40q is not a date and time such as 2026-01-31T23:59:59Z", end)
		}
		w.End = at.UTC().Truncate(time.Millisecond)
		if y := w.End.Year(); y < 1970 || y > 9998 {
			return w, scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "endDate %.40q is not from 1970 to 9998", end)
		}
	}
	var err1, err2, err3 error
	w.UID, err1 = chosenID(extension(old, scim.WorkbenchURN), workbench, "posixUserId")
	w.GID, err2 = chosenID(extension(old, scim.PosixUserURN), posix, "posixGroupId")
	w.Keys, err3 = chosenKeys(extension(old, scim.PosixUserURN), posix)
	return w, cmp.Or(err1, err2, err3)
}

// groupWish reads what a group's attributes want of the POSIX group, as
// accountWish does.
func groupWish(old, group scim.Resource) (ledger.GroupWish, error) {
	posix := extension(group, scim.PosixGroupURN)
	gid, err := chosenID(extension(old, scim.PosixGroupURN), posix, "posixGroupId")
	return ledger.GroupWish{DisplayName: text(group["displayName"]), Name: text(posix["posixGroupName"]), GID: gid}, err
}

// extension returns an extension's attributes, none when it has no data.
func extension(r scim.Resource, urn string) map[string]any {
	attrs, _ := r[urn].(map[string]any)
	return attrs
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// chosenID reads a number that the provider chose; 0 when it did not.
func chosenID(old, attrs map[string]any, name string) (uint32, error) {
	v, said := attrs[name]
	if !said {
		return 0, nil
	}
	n, ok := whole(v)
	if was, had := whole(old[name]); ok && had && n == was && ledger.CheckGivenID(n) != nil {
		return 0, nil
	}
	if !ok {
		return 0, scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "%s is not a whole number", name)
	}
	if err := ledger.CheckGivenID(n); err != nil {
		return 0, scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "%s %v: choose another, or leave it out to be given one", name, err)
	}
	return uint32(n), nil
}

// keysName is the attribute of the keys that may log in over SSH.
const keysName = "sshPublicKeys"

// chosenKeys reads the SSH keys that may log in; nil for none.
func chosenKeys(old, attrs map[string]any) ([]string, error) {
	lines, was := texts(attrs[keysName]), texts(old[keysName])
	fit := make([]string, 0, len(lines))
	for i, line := range lines {
		if _, err := roster.ParseKey(line); err == nil {
			fit = append(fit, line)
		} else if !slices.Contains(was, line) {
			return nil, scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "%s: key %d of %d: %v", keysName, i+1, len(lines), err)
		}
	}
	keys, err := roster.ParseKeys(fit)
	if err != nil && !slices.Equal(lines, was) {
		return nil, scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "%s: %v", keysName, err)
	}
	return keys, nil
}

// texts are the values of a multi-valued attribute of texts.
func texts(v any) (all []string) {
	list, _ := v.([]any)
	for _, v := range list {
		all = append(all, text(v))
	}
	return all
}

// whole reads an integer as requests and stored resources have it.
func whole(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case interface{ Int64() (int64, error) }: // json.Number
		n, err := v.Int64()
		return n, err == nil
	}
	return 0, false
}

// refused turns the ledger's refusal into the protocol's error (RFC 7644 §3.12).
// That nothing is left to give is for the administrator and stays what it is.
func refused(err error) error {
	var r *ledger.Refusal
	if !errors.As(err, &r) {
		return err
	}
	switch r.Cause {
	case ledger.Invalid:
		return scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "%v", r)
	case ledger.Immutable:
		return scim.Errorf(http.StatusBadRequest, scim.Mutability, "%v", r)
	case ledger.Taken:
		return scim.Errorf(http.StatusConflict, scim.Uniqueness, "%v", r)
	}
	return fmt.Errorf("%w: %w", errExhausted, err)
}

// errExhausted: nothing is left to give.
var errExhausted = errors.New("the ledger has nothing left to give")
