package scim

// Equality reports whether f is `attribute eq value` and nothing else, and if
// so the attribute's canonical path and the value in its type (string, bool,
// int64, float64), so that a store can use an index. A complex attribute is
// given by its value: `members eq "x"` yields "members.value", `manager eq "m"`
// yields EnterpriseURN + ":manager.value". The value is as the client wrote it:
// where the attribute is not caseExact the store compares by [Fold].
//
// It is not ok for unknown attributes, null, and values the attribute's type
// cannot have, all of which [ResourceType.Match] still judges.
func (t *ResourceType) Equality(f Filter) (attr string, value any, ok bool) {
	c, isCompare := f.(Compare)
	if !isCompare || c.Op != Eq || c.Value == nil {
		return "", nil, false
	}
	g, known := t.Resolve(c.Attr)
	if !known {
		return "", nil, false
	}
	leaf := g.leaf()
	if leaf == nil {
		return "", nil, false
	}
	if leaf != g.Attr {
		g.Sub = leaf
	}
	value, ok = leaf.valueOf(c.Value)
	if !ok {
		return "", nil, false
	}
	return g.Path(), value, true
}

// valueOf converts a comparison value into the attribute's own type.
func (leaf *Attribute) valueOf(literal any) (any, bool) {
	switch leaf.Type {
	case Boolean:
		return pair(toBool(literal))
	case Integer:
		return pair(toInt(literal))
	case Decimal:
		return pair(toFloat(literal))
	}
	return literalText(literal), true
}

func pair[T any](v T, ok bool) (any, bool) { return v, ok }

// CheckFilter refuses with an [*Error] 400 invalidFilter what f orders though
// it has no order: booleans and binary values (RFC 7644 §3.4.2.2).
func (t *ResourceType) CheckFilter(f Filter) error {
	switch f := f.(type) {
	case And:
		return checkAll(f, t.CheckFilter)
	case Or:
		return checkAll(f, t.CheckFilter)
	case Not:
		return t.CheckFilter(f.Filter)
	case Compare:
		if g, ok := t.Resolve(f.Attr); ok {
			return checkOrder(g.leaf(), f)
		}
	case ValuePath:
		if g, ok := t.Resolve(f.Attr); ok {
			return g.Attr.checkElementFilter(f.Filter, false)
		}
	}
	return nil
}

// checkElementFilter does the same for a filter in brackets; a strict check
// also refuses names that mean nothing there.
func (a *Attribute) checkElementFilter(f Filter, strict bool) error {
	check := func(f Filter) error { return a.checkElementFilter(f, strict) }
	var attr AttrPath
	switch f := f.(type) {
	case And:
		return checkAll(f, check)
	case Or:
		return checkAll(f, check)
	case Not:
		return check(f.Filter)
	case Compare:
		if sub := a.element(f.Attr); sub != nil {
			return checkOrder(sub, f)
		}
		attr = f.Attr
	case Present:
		if a.element(f.Attr) != nil {
			return nil
		}
		attr = f.Attr
	}
	if strict {
		return Errorf(badRequest, InvalidFilter, "%s has no sub-attribute %s", a.Name, excerpt(attr.String()))
	}
	return nil
}

func checkAll(list []Filter, check func(Filter) error) error {
	for _, f := range list {
		if err := check(f); err != nil {
			return err
		}
	}
	return nil
}

func checkOrder(leaf *Attribute, f Compare) error {
	if f.Op.orders() && leaf != nil && (leaf.Type == Boolean || leaf.Type == Binary) {
		return Errorf(badRequest, InvalidFilter, "%s cannot order %s, which is %s", f.Op, excerpt(f.Attr.String()), leaf.Type)
	}
	return nil
}
