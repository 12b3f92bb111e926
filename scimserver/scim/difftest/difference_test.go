package difftest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pwb/scimserver/scim"
)

var (
	seed  = flag.Uint64("seed", 7644, "of the random cases")
	cases = flag.Int("cases", 3000, "random cases of each kind")
)

// question is what the other side is asked: a filter or operations.
type question struct {
	Resource map[string]any `json:"resource"`
	Filter   *string        `json:"filter,omitempty"`
	Ops      []any          `json:"ops,omitempty"`
}

// reply is what one side makes of a question.
type reply struct {
	Match    bool           `json:"match"`
	Resource map[string]any `json:"resource"`
	Error    string         `json:"error"`
}

func (r reply) String() string {
	switch {
	case r.Error != "":
		return "refused: " + r.Error
	case r.Resource != nil:
		return text(r.Resource)
	}
	return fmt.Sprint(r.Match)
}

// same reports whether two replies mean the same. Empty and absent are one (RFC
// 7643 §2.5), and elements have no order (§2.4).
func (r reply) same(s reply) bool {
	if r.Error != "" || s.Error != "" {
		return r.Error != "" && s.Error != ""
	}
	return r.Match == s.Match && reflect.DeepEqual(plain(r.Resource), plain(s.Resource))
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// plain returns v without schemas and without what is empty, lists in an order
// that depends on their elements only, or nil if nothing is left.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			if e = plain(e); e != nil && k != "schemas" {
				out[k] = e
			}
		}
		if len(out) > 0 {
			return out
		}
		return nil
	case []any:
		var out []any
		for _, e := range v {
			if e = plain(e); e != nil {
				out = append(out, e)
			}
		}
		slices.SortFunc(out, func(a, b any) int { return strings.Compare(text(a), text(b)) })
		if len(out) > 0 {
			return out
		}
		return nil
	}
	return v
}

// object reads a JSON object as encoding/json does; numbers do not occur.
func object(t testing.TB, s string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(s), &out); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return out
}

// user is a User as package scim holds it and as the other side is given it.
func user(t testing.TB, body map[string]any) (ours scim.Resource, theirs map[string]any) {
	t.Helper()
	ours, err := scim.User.Normalize(body)
	if err != nil {
		t.Fatalf("%s: %v", text(body), err)
	}
	if id, ok := body["id"]; ok {
		ours["id"], ours["meta"] = id, body["meta"]
	}
	return ours, object(t, text(ours))
}

// ourMatch and ourPatch are this side's replies.
func ourMatch(filter string, r scim.Resource) reply {
	f, err := scim.ParseFilter(filter)
	if err == nil {
		err = scim.User.CheckFilter(f)
	}
	if err != nil {
		return reply{Error: err.Error()}
	}
	return reply{Match: scim.User.Match(f, r)}
}

func ourPatch(t testing.TB, ops []any, r scim.Resource) reply {
	t.Helper()
	parsed, err := scim.ParsePatch(map[string]any{"Operations": ops})
	if err == nil {
		var out scim.Resource
		if out, _, err = scim.User.Patch(r, parsed, nil); err == nil {
			return reply{Resource: object(t, text(out))}
		}
	}
	return reply{Error: err.Error()}
}

// peer answers questions with the implementations from npm.
type peer struct{ dir string }

// newPeer installs them, or skips the test.
func newPeer(t *testing.T) peer {
	t.Helper()
	missing := func(format string, args ...any) {
		t.Helper()
		t.Skip("NOT TESTED HERE: package scim against scim-patch and scim2-parse-filter: " + fmt.Sprintf(format, args...))
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			missing("%v", err)
		}
	}
	p := peer{t.TempDir()}
	for _, name := range []string{"package.json", "package-lock.json", "run.mjs"} {
		b, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(p.dir, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0")
	install.Dir = p.dir
	install.WaitDelay = time.Second
	if out, err := install.CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
		missing("npm ci: %v\n%s", err, out)
	}
	return p
}

// ask answers all questions in one run.
func (p peer) ask(t *testing.T, questions []question) []reply {
	t.Helper()
	var in, errs bytes.Buffer
	for _, q := range questions {
		in.WriteString(text(q) + "\n")
	}
	cmd := exec.CommandContext(t.Context(), "node", "run.mjs")
	cmd.Dir, cmd.Stdin, cmd.Stderr = p.dir, &in, &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, errs.Bytes())
	}
	var replies []reply
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r reply
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		replies = append(replies, r)
	}
	if len(replies) != len(questions) {
		t.Fatalf("%d replies to %d questions", len(replies), len(questions))
	}
	return replies
}

// source makes random things.
type source struct{ *rand.Rand }

func newSource(t *testing.T, stream uint64) source {
	t.Logf("seed %d (-seed)", *seed)
	return source{rand.New(rand.NewPCG(*seed, stream))}
}

func (s source) chance(percent int) bool { return s.IntN(100) < percent }

func pick[T any](s source, from ...T) T { return from[s.IntN(len(from))] }

// mix writes each letter of an ASCII word in a random case.
func (s source) mix(word string) string {
	b := []byte(word)
	for i, c := range b {
		if s.chance(30) && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
			b[i] = c ^ 0x20
		}
	}
	return string(b)
}

func (s source) word() string {
	return pick(s, "a", "ab", "abc", "b", "ba", "ada", "ada@x.example", "bob@x.example", "ä", "éa", "x y", "it's", `say "a"`, "a)b", "a]b", "1", "true", "work", "home")
}

// element makes an element of a multi-valued attribute.
func (s source) element(name string) map[string]any {
	out := map[string]any{"type": pick(s, "work", "home", "other")}
	if name == "addresses" {
		out["locality"] = s.word()
		if s.chance(50) {
			out["country"] = pick(s, "DE", "FR")
		}
		return out
	}
	out["value"] = s.word()
	if s.chance(30) {
		out["display"] = s.word()
	}
	return out
}

// maxElements is the most that a multi-valued attribute of a random user has.
const maxElements = 4

func (s source) elements(name string) []any {
	list := []any{s.element(name)}
	for len(list) < maxElements && s.chance(50) {
		list = append(list, s.element(name))
	}
	return list
}

var lists = []string{"emails", "phoneNumbers", "addresses"}

func (s source) user() map[string]any {
	u := map[string]any{"userName": s.word(), "active": s.chance(50)}
	for _, name := range []string{"displayName", "nickName", "title", "externalId"} {
		if s.chance(60) {
			u[name] = s.word()
		}
	}
	if s.chance(70) {
		u["name"] = map[string]any{"givenName": s.word(), "familyName": s.word()}
	}
	if s.chance(60) {
		u[scim.EnterpriseURN] = map[string]any{"department": s.word(), "manager": map[string]any{"value": s.word()}}
	}
	for _, name := range lists {
		if s.chance(70) {
			list := s.elements(name)
			if s.chance(50) {
				list[0].(map[string]any)["primary"] = true
			}
			u[name] = list
		}
	}
	return u
}

// known is a difference between the two sides that is explained.
type known struct {
	name   string
	reason string
	user   string
	// One of the two.
	filter string
	op     string
	// What this side says: whether the filter matches, the resource, or part of
	// the refusal.
	ours string
	// explains reports whether this is why the two differ over a random
	// operation. Where it is nil, the other side is asked in such a way that the
	// difference does not arise.
	explains func(s step) bool
}

func (k known) check(t *testing.T, theirs reply) {
	ours := k.ourReply(t)
	if got := ours.String(); ours.Error == "" && k.filter == "" {
		if want := plain(object(t, k.ours)); !reflect.DeepEqual(plain(ours.Resource), want) {
			t.Errorf("this side says %s, want %s", got, k.ours)
		}
	} else if !strings.Contains(got, k.ours) {
		t.Errorf("this side says %s, want %s", got, k.ours)
	}
	if ours.same(theirs) {
		t.Errorf("the sides agree now, on %s: strike the explanation: %s", ours, k.reason)
	}
	if k.explains != nil && !k.explains(step{object(t, k.user), operation(t, k.op), ours, theirs}) {
		t.Errorf("the explanation does not recognize its own example, which is %s here and %s there", ours, theirs)
	}
}

func (k known) ourReply(t *testing.T) reply {
	u, _ := user(t, object(t, k.user))
	if k.filter != "" {
		return ourMatch(k.filter, u)
	}
	return ourPatch(t, []any{operation(t, k.op)}, u)
}

func (k known) question(t *testing.T) question {
	_, u := user(t, object(t, k.user))
	if k.filter != "" {
		return question{Resource: u, Filter: &k.filter}
	}
	return question{Resource: u, Ops: []any{operation(t, k.op)}}
}

func operation(t testing.TB, op string) map[string]any {
	t.Helper()
	if op == "" {
		return nil
	}
	return object(t, op)
}

// step is what became of one operation.
type step struct {
	before       map[string]any
	op           map[string]any
	ours, theirs reply
}

// checkKnown shows that the explained differences are there.
func checkKnown(t *testing.T, p peer, list []known) {
	questions := make([]question, len(list))
	for i, k := range list {
		questions[i] = k.question(t)
	}
	for i, r := range p.ask(t, questions) {
		t.Run(list[i].name, func(t *testing.T) { list[i].check(t, r) })
	}
}
