package scim

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"
)

// object decodes a JSON object the test is sure of.
func object(t testing.TB, text string) map[string]any {
	t.Helper()
	m, err := DecodeObject([]byte(text))
	if err != nil {
		t.Fatalf("DecodeObject(%s): %v", text, err)
	}
	return m
}

// resource is a Resource written as JSON, as it is.
func resource(t testing.TB, text string) Resource {
	t.Helper()
	return Resource(object(t, text))
}

// wantResource compares without regard to "schemas", which has tests of its own.
func wantResource(t testing.TB, got Resource, want string) {
	t.Helper()
	got = maps.Clone(got)
	delete(got, "schemas")
	if w := resource(t, want); !Equal(got, w) {
		t.Errorf("got  %s\nwant %s", jsonOf(got), jsonOf(w))
	}
}

// wantError checks that err is a protocol error of that kind, ready to be sent.
func wantError(t testing.TB, err error, scimType string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want a 400 %s", err, scimType)
	}
	if e.Status != 400 || e.ScimType != scimType || e.Detail == "" {
		t.Errorf("got %d %q %q, want a 400 %s with a detail", e.Status, e.ScimType, e.Detail, scimType)
	}
}

func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// roll is a group's members in memory, which notes how it is called.
type roll struct {
	ids   []string
	calls []string
	fail  error
}

func (m *roll) note(call string, after []string) (bool, error) {
	m.calls = append(m.calls, call)
	if m.fail != nil {
		return false, m.fail
	}
	changed := !slices.Equal(m.ids, after)
	m.ids = after
	return changed, nil
}

func (m *roll) Add(ids []string) (bool, error) {
	after := slices.Clone(m.ids)
	for _, id := range ids {
		if !slices.Contains(after, id) {
			after = append(after, id)
		}
	}
	return m.note("add "+jsonOf(ids), after)
}

func (m *roll) Remove(ids []string) (bool, error) {
	after := slices.DeleteFunc(slices.Clone(m.ids), func(id string) bool { return slices.Contains(ids, id) })
	return m.note("remove "+jsonOf(ids), after)
}

func (m *roll) Replace(ids []string) (bool, error) {
	return m.note("replace "+jsonOf(append([]string{}, ids...)), slices.Clone(ids))
}

func (m *roll) RemoveMatching(match func(map[string]any) bool) (bool, error) {
	after := slices.DeleteFunc(slices.Clone(m.ids), func(id string) bool {
		return match(map[string]any{"value": id, "type": "User", "display": "User " + id})
	})
	return m.note("remove matching", after)
}
