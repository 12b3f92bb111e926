package scimserver_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"pwb/scimserver"
)

func TestNumberedNamesStayWithTheirUsers(t *testing.T) {
	t.Parallel()
	h := open(t)
	for n := 1; n <= 40; n++ {
		want := "ada"
		if n > 1 {
			want = fmt.Sprintf("ada-%d", n)
		}
		id := h.newUser(fmt.Sprintf("ada@%d.example", n))
		if a := h.account(id); a.Name != want {
			t.Fatalf("user %d is named %s, want %s", n, a.Name, want)
		}
	}
	// A name that was asked for as it stands is no numbered form of another.
	id := h.newUser("bob-3")
	h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"userName","value":"bob"}`)).ok(200)
	if a := h.account(id); a.Name != "bob" {
		t.Errorf("after the rename the name is %s, want bob", a.Name)
	}
	// A change of the domain alone renames nobody.
	id = h.newUser("ada@new.example")
	before := h.account(id)
	h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"userName","value":"Ada@newer.example"}`)).ok(200)
	if a := h.account(id); a.Name != before.Name || a.UID != before.UID {
		t.Errorf("%+v became %+v", before, a)
	}
}

// large is a user of about n times 8,000 bytes.
func large(userName string, n int) string {
	var emails []string
	for i := range n {
		emails = append(emails, fmt.Sprintf(`{"value":"%d%s"}`, i, strings.Repeat("x", 8000)))
	}
	return fmt.Sprintf(`{"userName":%q,"emails":[%s]}`, userName, strings.Join(emails, ","))
}

func TestAResourceHasABoundedSize(t *testing.T) {
	t.Parallel()
	h := open(t)
	at := h.feed().at
	h.do("POST", "/Users", large("ada", 40)).fails(400, "invalidValue")
	if now := h.feed().at; now != at {
		t.Errorf("the feed moved from %v to %v", at, now)
	}
}

func TestAPageOfLargeResourcesEndsEarlyAndTheNextGoesOn(t *testing.T) {
	t.Parallel()
	h := open(t)
	const users = 60
	for n := range users {
		h.do("POST", "/Users", large(fmt.Sprintf("user%d", n), 25)).ok(201)
	}
	seen, pages := map[string]bool{}, 0
	for len(seen) < users && pages < users {
		a := h.do("GET", fmt.Sprintf("/Users?startIndex=%d&count=1000", len(seen)+1), "").ok(200).has("totalResults", users)
		list, _ := a.get("Resources").([]any)
		for _, r := range list {
			name := r.(map[string]any)["userName"].(string)
			if seen[name] {
				t.Fatalf("%s is on two pages", name)
			}
			seen[name] = true
		}
		pages++
	}
	if len(seen) != users || pages < 2 {
		t.Errorf("%d users on %d pages, want %d on more than one", len(seen), pages, users)
	}
}

func TestATokenMayDoSoMuchASecond(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) { c.RateLimit, c.RateBurst = 0.001, 5 })
	for range 5 {
		h.do("GET", "/Users?count=0", "").ok(200)
	}
	a := h.do("GET", "/Users?count=0", "").fails(429, "")
	if a.header.Get("Retry-After") == "" {
		t.Error("429 without Retry-After")
	}
	if a := h.sync("snapshot", ""); a.status != 200 {
		t.Errorf("another token is refused, too: %d", a.status)
	}
}

func TestAClientThatSendsTooSlowlyIsToldSo(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) { c.RequestTime = 50 * time.Millisecond })
	conn, err := net.Dial("tcp", h.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// The body is announced and never comes.
	if _, err := fmt.Fprintf(conn, "POST /scim/v2/Users HTTP/1.1\r\nHost: pwb\r\nAuthorization: Bearer %s\r\nContent-Type: application/scim+json\r\nContent-Length: 20\r\n\r\n", h.token[scimserver.ScopeSCIM]); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 408 || resp.Header.Get("Content-Type") != "application/scim+json" || !strings.Contains(string(body), "did not arrive") {
		t.Errorf("status %d, %s: %s", resp.StatusCode, resp.Header.Get("Content-Type"), body)
	}
}

// Whoever owns the names that the search for a free one looks at first does not
// hold it up.
func TestTheSearchForANameEnds(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.newUser("ada")
	for n := 2; n < 1<<31; n *= 2 {
		h.newUser(fmt.Sprintf("ada-%d", n))
	}
	if a := h.account(h.newUser("ada@elsewhere")); a.Name != "ada-1073741825" {
		t.Errorf("the name is %s", a.Name)
	}
}

func TestAMalformedQueryIsNoQueryForEverything(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.newUser("ada")
	for _, query := range []string{"filter=userName+eq+%22x;y%22", "filter=userName+eq+%zz"} {
		if a := h.send("GET", "/scim/v2/Users?"+query, "", "Authorization", "Bearer "+h.token[scimserver.ScopeSCIM]); a.status != 400 {
			t.Errorf("%s: status %d: %s", query, a.status, a.body)
		}
	}
}
