package scim

import "testing"

const janet = `{
	"schemas": ["` + UserURN + `", "` + EnterpriseURN + `"],
	"id": "2819c223", "externalId": "Ext1", "userName": "Janet@Example.com",
	"name": {"givenName": "Janet", "familyName": "O'Malley"},
	"title": "Straße", "nickName": "", "active": true,
	"emails": [
		{"value": "janet@example.com", "type": "work", "primary": true},
		{"value": "jan@home.example", "type": "home"}
	],
	"groups": [{"value": "g1", "display": "Staff"}],
	"meta": {"created": "2026-01-31T12:00:00Z", "lastModified": "2026-02-01T12:00:00+02:00"},
	"` + EnterpriseURN + `": {"employeeNumber": "701984", "department": "Tours", "manager": {"value": "m1"}},
	"` + WorkbenchURN + `": {"posixUserId": 1005, "admin": false},
	"` + PosixUserURN + `": {"sshPublicKeys": ["ssh-ed25519 AAAA", "ssh-rsa BBBB"]}
}`

func TestMatch(t *testing.T) {
	r := resource(t, janet)
	for _, test := range []struct {
		filter string
		want   bool
	}{
		// case
		{`userName eq "janet@example.com"`, true},
		{`USERNAME EQ "JANET@EXAMPLE.COM"`, true},
		{`id eq "2819c223"`, true},
		{`id eq "2819C223"`, false},
		{`externalId eq "ext1"`, false},
		{`title eq "STRASSE"`, false},
		{`title co "RA"`, true},
		{`title sw "STR"`, true},
		{`title ew "SSE"`, false},
		{`title ew "ẞe"`, true},
		{`externalId co "ext"`, false},
		{`externalId co "xt"`, true},
		// ne is the contrary of eq
		{`userName ne "janet@example.com"`, false},
		{`userName ne "x"`, true},
		{`nickName ne "x"`, true},
		{`displayName ne "x"`, true},
		{`emails ne "janet@example.com"`, false},
		{`emails ne "x"`, true},
		// presence
		{`userName pr`, true},
		{`nickName pr`, false},
		{`displayName pr`, false},
		{`name pr`, true},
		{`name.givenName pr`, true},
		{`name.middleName pr`, false},
		{`emails pr`, true},
		{`emails.display pr`, false},
		{`active pr`, true},
		{`roles pr`, false},
		{`displayName eq null`, true},
		{`userName eq null`, false},
		{`userName ne null`, true},
		{`userName co null`, false},
		// order
		{`userName gt "I"`, true},
		{`userName lt "k"`, true},
		{`userName ge "janet@example.com"`, true},
		{`userName le "janet@example.com"`, true},
		{`displayName lt "k"`, false},
		{`meta.lastModified ge "2026-02-01T10:00:00Z"`, true},
		{`meta.lastModified gt "2026-02-01T10:00:00Z"`, false},
		{`meta.lastModified eq "2026-02-01T10:00:00.000Z"`, true},
		{`meta.created lt meta.lastModified`, false},
		{`meta.created sw "2026-01"`, true},
		{`meta.created gt "yesterday"`, false},
		{`meta.created ne "yesterday"`, false},
		// types
		{`active eq true`, true},
		{`active eq "True"`, true},
		{`active eq "FALSE"`, false},
		{`active ne false`, true},
		{`active eq "yes"`, false},
		{`active ne "yes"`, false},
		{`active co "tr"`, false},
		{`userName eq 7`, false},
		{EnterpriseURN + `:employeeNumber eq 701984`, true},
		{EnterpriseURN + `:employeeNumber eq "701984"`, true},
		{WorkbenchURN + `:posixUserId eq 1005`, true},
		{WorkbenchURN + `:posixUserId eq "1005"`, true},
		{WorkbenchURN + `:posixUserId gt 1004`, true},
		{WorkbenchURN + `:posixUserId lt 1005.5`, true},
		{WorkbenchURN + `:posixUserId le 1004`, false},
		{WorkbenchURN + `:posixUserId eq "x"`, false},
		{WorkbenchURN + `:posixUserId co "1"`, false},
		{WorkbenchURN + `:admin eq false`, true},
		// complex and several values
		{`emails eq "JAN@home.example"`, true},
		{`emails.value co "home"`, true},
		{`emails.type eq "home"`, true},
		{`emails.primary eq "true"`, true},
		{`groups eq "g1"`, true},
		{`groups.display eq "staff"`, true},
		{`manager eq "m1"`, true},
		{`manager eq "M1"`, false},
		{EnterpriseURN + `:manager eq "m1"`, true},
		{EnterpriseURN + `:Manager.Value eq "m1"`, true},
		{`name eq "Janet"`, false},
		{`sshPublicKeys sw "ssh-rsa"`, true},
		{`sshPublicKeys eq "ssh-rsa bbbb"`, false},
		{`schemas eq "` + EnterpriseURN + `"`, true},
		{`schemas eq "` + PosixUserURN + `"`, false},
		// value paths
		{`emails[type eq "work" and value co "@example.com"]`, true},
		{`emails[type eq "home" and value co "@example.com"]`, false},
		{`emails[type eq "work"].value eq "janet@example.com"`, true},
		{`emails[type eq "home"].value eq "janet@example.com"`, false},
		{`emails[not (type eq "work")]`, true},
		{`emails[type eq "x" or primary eq true]`, true},
		{`emails[display pr]`, false},
		{`emails[shoe eq "x"]`, false},
		{`emails[urn:x:type eq "work"]`, false},
		{`emails.value[type eq "work"]`, false},
		{`roles[value pr]`, false},
		{`name[givenName eq "janet"]`, true},
		{`photos[value pr]`, false},
		{`sshPublicKeys[value sw "ssh-rsa"]`, true},
		{`sshPublicKeys[type sw "ssh-rsa"]`, false},
		// logic
		{`userName eq "x" or active eq true`, true},
		{`userName pr and active eq false`, false},
		{`not (userName eq "x") and not (title eq "x")`, true},
		{`id eq "2819c223" and manager eq "m1"`, true},
		// unknown
		{`shoeSize eq "43"`, false},
		{`shoeSize ne "43"`, false},
		{`shoeSize pr`, false},
		{`not (shoeSize pr)`, true},
		{`name.shoe eq "x"`, false},
		{`shoes[size pr]`, false},
		{`urn:x:y:z eq "1"`, false},
		{EnterpriseURN + ` pr`, false},
		{EnterpriseURN + `:shoe pr`, false},
		{UserURN + `:userName eq "janet@example.com"`, true},
		{UserURN + `:id pr`, true},
		{`members eq "x"`, false},
		{`department eq "tours"`, true},
	} {
		f, err := ParseFilter(test.filter)
		if err != nil {
			t.Errorf("%s: %v", test.filter, err)
			continue
		}
		if got := User.Match(f, r); got != test.want {
			t.Errorf("%s: got %v", test.filter, got)
		}
	}
	if !User.Match(nil, r) {
		t.Error("no filter does not match")
	}
}

func TestEquality(t *testing.T) {
	for _, test := range []struct {
		filter string
		attr   string
		value  any
	}{
		{`USERNAME eq "Bob"`, "userName", "Bob"},
		{`id eq 7`, "id", "7"},
		{`active eq "False"`, "active", false},
		{`name.GIVENNAME eq "x"`, "name.givenName", "x"},
		{`emails eq "x"`, "emails.value", "x"},
		{`emails.type eq "x"`, "emails.type", "x"},
		{`manager eq "m"`, EnterpriseURN + ":manager.value", "m"},
		{WorkbenchURN + `:PosixUserID eq "1000"`, WorkbenchURN + ":posixUserId", int64(1000)},
		{`posixUserName eq "bob"`, WorkbenchURN + ":posixUserName", "bob"},
	} {
		f, err := ParseFilter(test.filter)
		if err != nil {
			t.Fatal(err)
		}
		attr, value, ok := User.Equality(f)
		if !ok || attr != test.attr || value != test.value {
			t.Errorf("Equality(%s) = %q, %#v, %v", test.filter, attr, value, ok)
		}
	}
	for _, filter := range []string{`userName ne "x"`, `userName pr`, `userName eq null`, `a eq "x"`, `name eq "x"`, `active eq "x"`, `userName eq "a" and id eq "b"`, `emails[value eq "x"]`, `not (id eq "x")`} {
		f, err := ParseFilter(filter)
		if err != nil {
			t.Fatal(err)
		}
		if attr, value, ok := User.Equality(f); ok {
			t.Errorf("Equality(%s) = %q, %v", filter, attr, value)
		}
	}
	f, _ := ParseFilter(`members eq "u"`)
	if attr, value, ok := Group.Equality(f); attr != "members.value" || value != "u" || !ok {
		t.Errorf("Equality(%s) = %q, %v, %v", f, attr, value, ok)
	}
}

func TestCheckFilterRefusesToOrderWhatHasNoOrder(t *testing.T) {
	for filter, good := range map[string]bool{
		`userName gt "a"`:                         true,
		`active eq true`:                          true,
		`shoeSize gt "a"`:                         true,
		`active gt "true"`:                        false,
		`title pr and not (active le "x")`:        false,
		`title pr or emails.primary ge "x"`:       false,
		`emails[primary lt "x"]`:                  false,
		`emails[type eq "x" and value lt "x"]`:    true,
		`emails[shoe lt "x"]`:                     true,
		`shoes[size lt "x"]`:                      true,
		`x509Certificates gt "x"`:                 false,
		`name gt "x"`:                             true,
		`emails[type pr or not (primary gt "x")]`: false,
		`emails[type pr and not (value gt "x")]`:  true,
		WorkbenchURN + `:admin gt "x"`:            false,
		WorkbenchURN + `:posixUserId gt "x"`:      true,
	} {
		f, err := ParseFilter(filter)
		if err != nil {
			t.Fatal(err)
		}
		err = User.CheckFilter(f)
		if good && err != nil {
			t.Errorf("CheckFilter(%s): %v", filter, err)
		}
		if !good {
			wantError(t, err, InvalidFilter)
		}
	}
}
