package main

import (
	"strings"
	"testing"
	"time"

	"pwb/scimserver"
)

func TestTokenCommands(t *testing.T) {
	s := newTranscript(t, "tokens")
	if secret := s.run("token create okta --scope scim"); !strings.HasPrefix(secret, "pwb_") || strings.Count(secret, "\n") != 1 {
		t.Errorf("the token is not printed alone: %q", secret)
	}
	s.run("token create node --scope node-admin --no-expiry --json")
	s.run("token create short --scope operator --duration 1 --json")
	s.run("token create rack7 --scope enroll --uses 40 --expires 24h --json")
	s.withStore(func(store scimserver.Store) {
		elsewhere, err := scimserver.ForeignToken("scim-token-file", scimserver.ScopeSCIM, strings.Repeat("s", 40), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		old, _, err := scimserver.NewToken("old", scimserver.ScopeSCIM, time.Now().Add(-48*time.Hour), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		old.Used = time.Now().Add(-47 * time.Hour)
		err = store.Update(t.Context(), func(tx scimserver.Tx) error {
			for _, token := range []scimserver.Token{elsewhere, old} {
				if err := tx.PutToken(token); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	s.run("token list")
	s.run("token revoke okta")
	s.run("token revoke node --json")
	stdin(t, "")
	s.run("token revoke --all")
	s.run("token revoke --all --yes")
	s.both("token list")
	s.both("token revoke --all --yes")
	s.run("audit")
}

func TestTokenListShowsTokensAsJSON(t *testing.T) {
	s := newTranscript(t, "tokens-json")
	s.run("token create okta --scope scim")
	s.run("token create node --scope node-admin --no-expiry")
	s.run("token list --json")
}

func TestTokenCommandsSayWhatIsWrong(t *testing.T) {
	s := newTranscript(t, "tokens-wrong")
	s.run("token create okta")
	s.run("token create okta --scope everything")
	s.run("token create okta --scope scim --duration 0")
	s.run("token create okta --scope scim --duration 40000")
	s.run("token create okta --scope scim --duration 3 --no-expiry")
	s.run("token create okta --scope scim --uses 2")
	s.run("token create rack7 --scope enroll --uses 0")
	s.run("token create rack7 --scope enroll --expires 1s")
	s.run("token create rack7 --scope enroll --expires 24h --duration 1")
	s.run("token create '' --scope scim")
	s.run("token list")
	s.run("token create okta --scope scim")
	s.run("token create okta --scope scim")
	s.run("token revoke other")
	s.run("token revoke")
	s.run("token revoke okta --all --yes")
	s.run("token list")
}
