package scim

import "fmt"

// Members lets PATCH edit a group's members without holding them in memory, so
// that one change in a group of 100,000 costs what it costs in a group of ten.
//
// [ResourceType.Patch] calls it only after every operation has been checked and
// the resource's new state is known to be valid, in the order of the
// operations; neighbouring additions are handed over together, and so are
// neighbouring removals. An error ends the PATCH at once and is returned as it
// is. The caller then undoes the calls before it, usually by rolling back the
// transaction they ran in.
//
// changed reports whether the set of members became different. ids come without
// repetition.
type Members interface {
	// Add adds members. One that is present already is no change.
	Add(ids []string) (changed bool, err error)
	// Remove removes members. One that is absent is no error.
	Remove(ids []string) (changed bool, err error)
	// Replace makes these the members, and nobody else. No ids: nobody.
	Replace(ids []string) (changed bool, err error)
	// RemoveMatching removes every member for which match reports true. It
	// serves the rare filters that are not plain comparisons of value with eq.
	// A member is given to match as an element of members is written: value,
	// and display, type and $ref as far as they are known.
	RemoveMatching(match func(member map[string]any) bool) (changed bool, err error)
}

// MaxMemberID is the longest id of a member, in bytes.
const MaxMemberID = 256

// MemberIDs reads the ids in a value of a group's members: a list of
// {"value": id} with or without other sub-attributes, of bare ids, or one of
// either without a list. null and [] are nobody. Repeated ids are dropped, the
// order is kept. Anything else is an [*Error] 400 invalidValue: an object
// without value, an empty id, or one longer than [MaxMemberID]. Whether the ids
// belong to users is for the caller to find out.
func MemberIDs(v any) ([]string, error) {
	if v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	ids := make([]string, 0, len(list))
	seen := make(map[string]struct{}, len(list))
	for i, v := range list {
		id, err := memberID(v)
		if err != nil {
			if len(list) > 1 {
				err = within(fmt.Sprintf("element %d: ", i+1), err)
			}
			return nil, err
		}
		if _, twice := seen[id]; !twice {
			seen[id] = struct{}{}
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func memberID(v any) (string, error) {
	if m, ok := v.(map[string]any); ok {
		found := false
		for name, part := range m {
			if lower(name) != "value" {
				continue
			}
			if found {
				return "", badValue("members.value is given twice")
			}
			found, v = true, part
		}
		if !found {
			return "", badValue("members.value is missing")
		}
	}
	id, ok := v.(string)
	switch {
	case !ok:
		return "", badValue("members.value must be a string, not %s", kindOf(v))
	case id == "":
		return "", badValue("members.value must not be empty")
	case len(id) > MaxMemberID:
		return "", badValue("members.value must not be longer than %d bytes", MaxMemberID)
	}
	return id, nil
}

// GroupMembers finds the members in the body of a POST or PUT of a group, in
// any spelling, and reads them as [MemberIDs] does. given reports whether the
// body says who they are: [] means nobody, null says nothing, like absence.
// Members given twice are an [*Error] 400 invalidValue.
func GroupMembers(in map[string]any) (ids []string, given bool, err error) {
	const name = "members"
	var v any
	take := func(w any) {
		if w == nil {
			return
		}
		if given {
			err = badValue("members is given twice")
		}
		v, given = w, true
	}
	for key, w := range in {
		switch folded := lower(key); folded {
		case name, groupURNLower + ":" + name:
			take(w)
		case groupURNLower:
			nested, _ := w.(map[string]any)
			for key, w := range nested {
				if lower(key) == name {
					take(w)
				}
			}
		}
	}
	if err != nil || !given {
		return nil, given, err
	}
	ids, err = MemberIDs(v)
	return ids, true, err
}

var groupURNLower = lower(GroupURN)

// memberEdit is one call that PATCH is going to make on Members.
type memberEdit struct {
	kind  OpKind
	ids   []string
	match func(map[string]any) bool // of a removal by filter; ids is then empty
}

// planMembers turns one operation on members into an edit to be made later.
func (e *editor) planMembers(kind OpKind, at place, value any) error {
	a := at.Attr
	if at.Sub != nil || at.Filter != nil && kind == Add {
		return mutability("what is said of a member cannot be changed, only who is one")
	}
	switch {
	case at.Filter != nil && kind == Replace:
		ids, err := MemberIDs(value)
		if err != nil {
			return err
		}
		e.removeMembers(a, at.Filter)
		e.addEdit(memberEdit{kind: Add, ids: ids})
		return nil
	case at.Filter != nil:
		e.removeMembers(a, at.Filter)
		return nil
	case kind == Remove && value == nil:
		e.edits = append(e.edits, memberEdit{kind: Replace})
		return nil
	}
	ids, err := MemberIDs(value)
	if err != nil {
		return err
	}
	e.addEdit(memberEdit{kind: kind, ids: ids})
	return nil
}

// removeMembers plans the removal of those who match a filter.
func (e *editor) removeMembers(a *Attribute, f Filter) {
	if ids, ok := a.idsInFilter(f, nil); ok {
		e.addEdit(memberEdit{kind: Remove, ids: ids})
		return
	}
	e.edits = append(e.edits, memberEdit{kind: Remove, match: func(member map[string]any) bool {
		return a.matchElement(f, member)
	}})
}

// addEdit appends an edit, or lets the one before it do its work too.
func (e *editor) addEdit(edit memberEdit) {
	if edit.kind != Replace && len(edit.ids) == 0 {
		return
	}
	if n := len(e.edits); n > 0 && edit.kind != Replace {
		last := &e.edits[n-1]
		if last.kind == edit.kind && last.match == nil {
			last.ids = append(last.ids, edit.ids...)
			return
		}
	}
	e.edits = append(e.edits, edit)
}

// idsInFilter collects the ids of a filter that does nothing but compare value
// with eq: value eq "a" or value eq "b".
func (a *Attribute) idsInFilter(f Filter, ids []string) ([]string, bool) {
	switch f := f.(type) {
	case Or:
		for _, g := range f {
			var ok bool
			if ids, ok = a.idsInFilter(g, ids); !ok {
				return nil, false
			}
		}
		return ids, true
	case Compare:
		sub := a.element(f.Attr)
		if sub != nil && sub.Name == "value" && f.Op == Eq && f.Value != nil {
			return append(ids, literalText(f.Value)), true
		}
	}
	return nil, false
}

// apply makes the edit.
func (m memberEdit) apply(members Members) (bool, error) {
	switch {
	case m.match != nil:
		return members.RemoveMatching(m.match)
	case m.kind == Add:
		return members.Add(unique(m.ids))
	case m.kind == Remove:
		return members.Remove(unique(m.ids))
	}
	return members.Replace(m.ids)
}

// unique drops repeated ids and keeps the order of the others.
func unique(ids []string) []string {
	seen := make(map[string]struct{}, len(ids))
	kept := ids[:0]
	for _, id := range ids {
		if _, twice := seen[id]; !twice {
			seen[id] = struct{}{}
			kept = append(kept, id)
		}
	}
	return kept
}
