package scimserver_test

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"pwb/scimserver"
)

func TestOnlyAnAgentReportsForANode(t *testing.T) {
	t.Parallel()
	h := open(t)
	for scope, token := range h.token {
		a := h.send("POST", "/sync/v1/node", `{}`, "Authorization", "Bearer "+token, "Pwb-Node", "node-1")
		want := 403
		if scope == scimserver.ScopeNodeAdmin {
			want = 204
		}
		if a.status != want {
			t.Errorf("%s: status %d, want %d: %s", scope, a.status, want, a.body)
		}
	}
	if a := h.send("POST", "/sync/v1/node", `{}`, "Pwb-Node", "node-1"); a.status != 401 {
		t.Errorf("without a token: status %d", a.status)
	}
	if a := h.send("GET", "/sync/v1/node", "", "Authorization", "Bearer "+h.token[scimserver.ScopeNodeAdmin]); a.status != 405 {
		t.Errorf("GET: status %d", a.status)
	}
}

func TestReportsThatAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	ids := func(n int) string { return strings.TrimSuffix(strings.Repeat("1000,", n), ",") }
	names := func(n int) string { return strings.TrimSuffix(strings.Repeat(`"a",`, n), ",") }
	for sentence, body := range map[string]string{
		"without a body":           ``,
		"that is no JSON":          `{`,
		"that is a list":           `[]`,
		"with more behind it":      `{} {}`,
		"with a name as id":        `{"ids":["x"]}`,
		"with a negative id":       `{"ids":[-1]}`,
		"with too great an id":     `{"ids":[4294967296]}`,
		"with a fraction":          `{"ids":[1000.5]}`,
		"with a number as name":    `{"names":[1]}`,
		"with an empty name":       `{"names":[""]}`,
		"with too long a name":     `{"names":["` + strings.Repeat("x", 256) + `"]}`,
		"with too long a version":  `{"version":"` + strings.Repeat("x", 256) + `"}`,
		"with too many ids":        `{"ids":[` + ids(10_001) + `]}`,
		"with too many names":      `{"names":[` + names(10_001) + `]}`,
		"with too many former":     `{"former":[` + strings.TrimSuffix(strings.Repeat("{},", 10_001), ",") + `]}`,
		"that is larger than 4 MB": `{"version":"` + strings.Repeat(" ", 4<<20) + `"}`,
	} {
		if a := h.report("node-1", body); a.status != 400 || len(a.body) == 0 {
			t.Errorf("a report %s: status %d: %.200s", sentence, a.status, a.body)
		}
	}
	for _, name := range []string{"", "a\tb"} {
		if a := h.report(name, `{}`); a.status != 400 {
			t.Errorf("a report of %q: status %d: %s", name, a.status, a.body)
		}
	}
	if got := h.nodes(); len(got) != 0 {
		t.Errorf("nodes %+v", got)
	}
	if a := h.report("node-1", `{"ids":[`+ids(10_000)+`],"names":[`+names(10_000)+`]}`); a.status != 204 {
		t.Errorf("as many as may be: status %d: %s", a.status, a.body)
	}
	if a := h.report(strings.Repeat("z", 300), `{"unknown":1}`); a.status != 204 {
		t.Errorf("a long name: status %d: %s", a.status, a.body)
	}
	if got := h.nodes(); len(got) != 2 || fmt.Sprint(got[0].IDs, got[0].Names) != "[1000] [a]" || len(got[1].Name) != 80 {
		t.Errorf("nodes %+v", got)
	}
}

// What an HTTP library would not send arrives all the same.
func TestControlCharactersInTheNameOfANodeAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	at, err := url.Parse(h.http.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a\x1b[2Jb", "a\x01b", "a\x7fb", "a\x00b"} {
		conn, err := net.Dial("tcp", at.Host)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /sync/v1/node HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nPwb-Node: %s\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", h.token[scimserver.ScopeNodeAdmin], name)
		head := make([]byte, 12)
		if _, err := conn.Read(head); err != nil || string(head) != "HTTP/1.1 400" {
			t.Errorf("%q is answered with %q, %v", name, head, err)
		}
		conn.Close()
	}
	if got := h.nodes(); len(got) != 0 {
		t.Errorf("nodes %+v", got)
	}
}

func TestWhatANodeRemembersIsBelievedAfterARestoreOnly(t *testing.T) {
	t.Parallel()
	h := open(t)
	ada := h.newUser("ada")
	before := h.account(ada)
	former := `{"former":[
		{"key":"a/forgotten","name":"bob","uid":1001,"gid":1002},
		{"key":"g/lost","name":"eng","uid":1003,"gid":1004},
		{"key":"a/thief","name":"ada","uid":1000,"gid":1000},
		{"key":"a/low","name":"low","uid":999,"gid":27},
		{"key":"a/system","name":"sys","uid":65534,"gid":4294967295},
		{"key":"m/a/b","name":"member","uid":1010,"gid":1010},
		{"key":"a/bad/key","name":"slash","uid":1011,"gid":1011},
		{"key":"a/","name":"empty","uid":1012,"gid":1012},
		{"key":"a/x","name":"Bad Name","uid":1013,"gid":1013},
		{"key":"","name":"","uid":0,"gid":0}]}`
	if a := h.report("node-1", former); a.status != 204 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	if a := h.account(h.newUser("bob")); a.Name != "bob" || a.UID != 1001 {
		t.Errorf("before a restore a node was believed: %+v", a)
	}

	h = open(t)
	h.newUser("ada")
	h.raw(`UPDATE meta SET restored = ?`, time.Now().UnixMilli())
	h.report("node-1", former)
	if !strings.Contains(h.log.String(), "a node remembered") {
		t.Error("the log does not say so")
	}
	for _, c := range []struct {
		userName, name string
		uid            uint32
	}{{"eng", "eng-2", 1003}, {"low", "low-2", 1005}, {"member", "member", 1006}} { // a group has no uid
		if a := h.account(h.newUser(c.userName)); a.Name != c.name || a.UID != c.uid {
			t.Errorf("%s got %+v, want %s and %d", c.userName, a, c.name, c.uid)
		}
	}
	if a := h.account(h.record("ada").ID); a.UID != before.UID || a.Name != "ada" {
		t.Errorf("account %+v", a)
	}
	h.do("POST", "/Users", person("eve", `"posixUserId":1001`, ``)).fails(409, "uniqueness").says("forgotten")
	events := len(h.events(""))
	h.report("node-1", former) // says the same again
	if len(h.events("")) != events {
		t.Error("a report left an event")
	}
	h.healthy()
}
