package scim

import (
	"cmp"
	"strings"
	"time"
)

// Compare orders two resources for sortBy (RFC 7644 §3.4.2.3) and returns what
// [cmp.Compare] returns. Of several values the primary one counts, or else the
// first; of a complex one its "value". Strings compare as the attribute's
// caseExact says, dateTimes as moments, false before true. A resource without
// the attribute comes after those with it; attributes the type does not know
// leave resources equal. Sort stably, or by id among equals, or pages will overlap.
func (t *ResourceType) Compare(by AttrPath, r, s Resource) int {
	g, ok := t.Resolve(by)
	if !ok {
		return 0
	}
	leaf := g.leaf()
	if leaf == nil {
		return 0
	}
	v, w := leaf.sortValue(g.value(r)), leaf.sortValue(g.value(s))
	switch {
	case v == nil && w == nil:
		return 0
	case v == nil:
		return 1
	case w == nil:
		return -1
	}
	return leaf.order(v, w)
}

// sortValue picks the simple value of leaf that v is sorted by, or nil.
func (leaf *Attribute) sortValue(v any) any {
	if list, ok := v.([]any); ok {
		v = nil
		for _, element := range list {
			if m, _ := element.(map[string]any); v == nil || m["primary"] == true {
				v = element
			}
		}
	}
	if m, ok := v.(map[string]any); ok {
		return m[leaf.Name]
	}
	return v
}

// order compares two simple values.
func (leaf *Attribute) order(v, w any) int {
	switch v := v.(type) {
	case string:
		w, _ := w.(string)
		return leaf.orderText(v, w)
	case int64:
		w, _ := w.(int64)
		return cmp.Compare(v, w)
	case float64:
		w, _ := w.(float64)
		return cmp.Compare(v, w)
	case bool:
		switch {
		case v == w:
			return 0
		case v:
			return 1
		}
		return -1
	}
	return 0
}

func (leaf *Attribute) orderText(v, w string) int {
	if leaf.Type == DateTime {
		at, err := time.Parse(time.RFC3339, v)
		other, err2 := time.Parse(time.RFC3339, w)
		if err == nil && err2 == nil {
			return at.Compare(other)
		}
	}
	if !leaf.CaseExact {
		v, w = Fold(v), Fold(w)
	}
	return strings.Compare(v, w)
}
