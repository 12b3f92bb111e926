package scim

import (
	"maps"
	"strings"
)

// tidy makes a list of normalized elements sound: no value twice, and primary
// true for one element at most, the others false (RFC 7643 §2.4). Elements are
// the same when value and type are; the later one then completes the earlier.
// Where several are primary, one that is fresh wins, else the first. fresh runs
// parallel to list or is nil. The list is the caller's own, its elements are not.
func (a *Attribute) tidy(list []any, fresh []bool) (any, error) {
	kept := list[:0]
	var keptFresh []bool
	for i, v := range list {
		isFresh := i < len(fresh) && fresh[i]
		if at := a.indexSame(kept, v); at >= 0 {
			if m, ok := v.(map[string]any); ok {
				merged := copyOf(kept[at])
				maps.Copy(merged, m)
				kept[at] = merged
			}
			if fresh != nil {
				keptFresh[at] = keptFresh[at] || isFresh
			}
			continue
		}
		kept = append(kept, v)
		if fresh != nil {
			keptFresh = append(keptFresh, isFresh)
		}
	}
	if len(kept) > MaxValues {
		return nil, a.tooMany()
	}
	if len(kept) == 0 {
		return nil, nil
	}
	if a.subs["primary"] != nil {
		onePrimary(kept, keptFresh)
	}
	return kept, nil
}

func onePrimary(list []any, fresh []bool) {
	winner := -1
	for i, v := range list {
		if m, _ := v.(map[string]any); m["primary"] == true {
			if winner < 0 || i < len(fresh) && fresh[i] && !fresh[winner] {
				winner = i
			}
		}
	}
	for i, v := range list {
		if m, _ := v.(map[string]any); i != winner && m["primary"] == true {
			m = maps.Clone(m)
			m["primary"] = false
			list[i] = m
		}
	}
}

// indexSame finds the element of list that v repeats, or -1.
func (a *Attribute) indexSame(list []any, v any) int {
	for i, w := range list {
		if a.same(v, w) {
			return i
		}
	}
	return -1
}

// same reports whether two elements are one value written twice.
func (a *Attribute) same(v, w any) bool {
	m, ok := v.(map[string]any)
	n, _ := w.(map[string]any)
	if !ok || m["value"] == nil || n["value"] == nil {
		return equal(v, w)
	}
	return a.sameSub("value", m, n) && a.sameSub("type", m, n)
}

func (a *Attribute) sameSub(name string, m, n map[string]any) bool {
	s, ok := m[name].(string)
	t, ok2 := n[name].(string)
	if sub := a.subs[name]; ok && ok2 && sub != nil && !sub.CaseExact {
		return strings.EqualFold(s, t)
	}
	return equal(m[name], n[name])
}

// equal compares two values of a Resource.
func equal(v, w any) bool {
	switch v := v.(type) {
	case map[string]any:
		w, ok := w.(map[string]any)
		if !ok || len(v) != len(w) {
			return false
		}
		for k, x := range v {
			if y, ok := w[k]; !ok || !equal(x, y) {
				return false
			}
		}
		return true
	case []any:
		w, ok := w.([]any)
		if !ok || len(v) != len(w) {
			return false
		}
		for i, x := range v {
			if !equal(x, w[i]) {
				return false
			}
		}
		return true
	}
	switch w.(type) {
	case map[string]any, []any:
		return false
	}
	return v == w
}
