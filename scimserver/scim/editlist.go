package scim

import (
	"maps"
	"slices"
)

// changeList carries out an operation on all values of an attribute.
func (a *Attribute) changeList(kind OpKind, old []any, value any) (any, error) {
	switch {
	case kind == Remove && value == nil:
		return nil, nil
	case kind == Remove:
		return a.removeListed(old, value)
	case kind == Add && value == nil:
		return orNil(old), nil
	}
	v, err := a.normalize(value)
	if err != nil || kind == Replace {
		return v, err
	}
	added, _ := v.([]any)
	list := slices.Concat(old, added)
	fresh := make([]bool, len(list))
	for i := len(old); i < len(list); i++ {
		fresh[i] = true
	}
	return a.tidy(list, fresh)
}

// orNil returns list, or nil if it is empty: an attribute without values is absent.
func orNil(list []any) any {
	if len(list) == 0 {
		return nil
	}
	return list
}

// removeListed removes the elements that value lists. One that names a value or
// type removes those that agree in it, whatever else it says; otherwise all it
// says has to agree.
func (a *Attribute) removeListed(old []any, value any) (any, error) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	if len(list) > MaxValues {
		return nil, a.tooMany()
	}
	kept := slices.Clone(old)
	for _, v := range list {
		listed, err := a.normalizeOne(v)
		if err != nil {
			return nil, err
		}
		if listed == nil {
			return nil, badValue("%s: an element to remove must say which", a.Name)
		}
		kept = slices.DeleteFunc(kept, func(element any) bool { return a.agrees(element, listed) })
	}
	return orNil(kept), nil
}

// agrees reports whether an element is what listed says.
func (a *Attribute) agrees(element, listed any) bool {
	want, ok := listed.(map[string]any)
	if !ok {
		return equal(element, listed)
	}
	has, _ := element.(map[string]any)
	value, kind := want["value"] != nil, want["type"] != nil
	if value || kind {
		return (!value || a.sameSub("value", has, want)) && (!kind || a.sameSub("type", has, want))
	}
	for name := range want {
		if !a.sameSub(name, has, want) {
			return false
		}
	}
	return true
}

// changeElements carries out an operation on the elements a filter chooses, or
// on one sub-attribute of them. Without a filter all are chosen.
func (at place) changeElements(kind OpKind, old []any, value any) (any, error) {
	a := at.Attr
	chosen := make([]bool, len(old))
	matched := 0
	for i, v := range old {
		if at.Filter == nil || a.matchElement(at.Filter, v) {
			chosen[i] = true
			matched++
		}
	}
	switch {
	case kind == Remove && at.Sub == nil, kind == Replace && at.Sub == nil && value == nil:
		return orNil(without(old, chosen)), nil
	case kind == Remove, kind == Replace && value == nil:
		return a.tidy(a.withoutSub(old, chosen, at.Sub), nil) // some may have become equal
	case value == nil: // add of nothing
		return orNil(old), nil
	}
	if list, ok := value.([]any); ok && len(list) == 1 && at.Sub == nil {
		value = list[0] // one element is asked for, so one in a list will do
	}
	if matched == 0 {
		created, err := at.create(value)
		if err != nil || created == nil {
			return orNil(old), err
		}
		return a.tidy(append(slices.Clip(old), created), append(chosen, true))
	}
	list := slices.Clone(old)
	for i, v := range list {
		if chosen[i] {
			var err error
			if list[i], err = at.changeElement(kind, v, value); err != nil {
				return nil, err
			}
		}
	}
	return at.Attr.tidy(compact(list, &chosen), chosen)
}

// compact drops elements that have become nil, and their marks.
func compact(list []any, marks *[]bool) []any {
	kept, keptMarks := list[:0], (*marks)[:0]
	for i, v := range list {
		if v != nil {
			kept = append(kept, v)
			keptMarks = append(keptMarks, (*marks)[i])
		}
	}
	*marks = keptMarks
	return kept
}

func without(list []any, chosen []bool) []any {
	var kept []any
	for i, v := range list {
		if !chosen[i] {
			kept = append(kept, v)
		}
	}
	return kept
}

// withoutSub removes one sub-attribute from the chosen elements, and with it
// those it leaves with nothing but labels.
func (a *Attribute) withoutSub(list []any, chosen []bool, sub *Attribute) []any {
	var kept []any
	for i, v := range list {
		m, _ := v.(map[string]any)
		if _, has := m[sub.Name]; chosen[i] && has {
			m = maps.Clone(m)
			delete(m, sub.Name)
			if onlyLabels(m) {
				continue
			}
			v = m
		}
		kept = append(kept, v)
	}
	return kept
}

// onlyLabels reports whether m says what an element is for, but not what it is.
func onlyLabels(m map[string]any) bool {
	for name := range m {
		switch name {
		case "type", "primary", "display":
		default:
			return false
		}
	}
	return true
}

// copyOf returns a copy of a complex value, empty if there is none.
func copyOf(v any) map[string]any {
	was, _ := v.(map[string]any)
	m := make(map[string]any, len(was)+1)
	maps.Copy(m, was)
	return m
}

// changeElement returns an existing element after add or replace.
func (at place) changeElement(kind OpKind, old, value any) (any, error) {
	a := at.Attr
	if a.Type != Complex {
		if kind == Add {
			return old, nil // it is there already
		}
		return a.normalizeOne(value)
	}
	if at.Sub != nil {
		return asElement(a.fill(copyOf(old), map[string]any{at.Sub.Name: value}))
	}
	parts, err := a.parts(value)
	if err != nil {
		return nil, err
	}
	if kind == Add {
		return asElement(a.fill(copyOf(old), parts))
	}
	return at.replacement(parts)
}

// asElement drops a complex element that says nothing.
func asElement(m map[string]any, err error) (any, error) {
	if err != nil || len(m) == 0 {
		return nil, err
	}
	return m, nil
}

// replacement makes a whole new element of parts. What the filter demanded of
// the old one holds for it too unless parts say otherwise.
func (at place) replacement(parts map[string]any) (any, error) {
	m, _ := at.Attr.template(at.Filter)
	if m == nil {
		m = make(map[string]any, len(parts))
	}
	return asElement(at.Attr.fill(m, parts))
}

// create makes the element a filter looked for in vain.
func (at place) create(value any) (any, error) {
	a := at.Attr
	if a.Type != Complex {
		return nil, noTarget("no value matches the filter")
	}
	m := make(map[string]any)
	if at.Filter != nil {
		var ok bool
		if m, ok = a.template(at.Filter); !ok {
			return nil, noTarget("no element matches the filter, and none can be made from it")
		}
	}
	if at.Sub != nil {
		return asElement(a.fill(m, map[string]any{at.Sub.Name: value}))
	}
	parts, err := a.parts(value)
	if err != nil {
		return nil, err
	}
	return asElement(a.fill(m, parts))
}

// template makes an element of a filter that consists of eq comparisons joined
// by and. It reports false for any other filter.
func (a *Attribute) template(f Filter) (map[string]any, bool) {
	if f == nil {
		return nil, false
	}
	m := make(map[string]any)
	for _, f := range Conjuncts(f) {
		c, ok := f.(Compare)
		if !ok || c.Op != Eq || c.Value == nil {
			return nil, false
		}
		sub := a.element(c.Attr)
		if sub == nil || !sub.writable() {
			return nil, false
		}
		v, ok := sub.valueOf(c.Value)
		if !ok {
			return nil, false
		}
		if was, twice := m[sub.Name]; twice && !equal(was, v) {
			return nil, false
		}
		n, err := sub.normalize(v)
		if err != nil || n == nil {
			return nil, false
		}
		m[sub.Name] = n
	}
	return m, true
}
