package scim

import (
	"encoding/json"
	"strings"
	"testing"
)

const base = "https://pwb.example/scim/v2/"

func TestSchemaDocumentsDescribeEverySchema(t *testing.T) {
	docs := SchemaDocuments(base)
	var ids []string
	for _, doc := range docs {
		id := doc["id"].(string)
		ids = append(ids, id)
		if want := "https://pwb.example/scim/v2/Schemas/" + id; doc["meta"].(map[string]any)["location"] != want {
			t.Errorf("%s is at %v", id, doc["meta"])
		}
		if _, err := json.Marshal(doc); err != nil {
			t.Error(err)
		}
	}
	want := []string{UserURN, EnterpriseURN, WorkbenchURN, PosixUserURN, GroupURN, PosixGroupURN, ServiceProviderConfigURN, ResourceTypeURN, SchemaURN}
	if got := strings.Join(ids, " "); got != strings.Join(want, " ") {
		t.Errorf("got  %s\nwant %s", got, strings.Join(want, " "))
	}
}

// The schema of schemas says what such a document consists of, so the documents
// can be held against it. Its own goes a level deeper than it can tell.
func TestSchemaDocumentsFollowTheSchemaOfSchemas(t *testing.T) {
	for _, doc := range SchemaDocuments(base) {
		if doc["id"] == SchemaURN {
			continue
		}
		delete(doc, "schemas")
		delete(doc, "meta")
		conforms(t, doc["id"].(string), schemaSchema.Attributes, doc)
	}
	for _, doc := range ResourceTypeDocuments(base) {
		delete(doc, "schemas")
		delete(doc, "meta")
		conforms(t, doc["id"].(string), resourceTypeSchema.Attributes, doc)
	}
	doc := ServiceProviderConfigDocument(base, ProviderOptions{DocumentationURI: "https://pwb.example/help"})
	delete(doc, "schemas")
	delete(doc, "meta")
	conforms(t, "config", providerConfigSchema.Attributes, doc)
}

func conforms(t *testing.T, at string, attrs []Attribute, m map[string]any) {
	t.Helper()
	left := len(m)
	for i := range attrs {
		a := &attrs[i]
		v, ok := m[a.Name]
		if !ok {
			if a.Required {
				t.Errorf("%s: %s is missing", at, a.Name)
			}
			continue
		}
		left--
		list, isList := v.([]any)
		if isList != a.MultiValued {
			t.Errorf("%s: %s is %T", at, a.Name, v)
			continue
		}
		if !isList {
			list = []any{v}
		}
		for _, v := range list {
			if part, ok := v.(map[string]any); ok && a.Type == Complex {
				conforms(t, at+"."+a.Name, a.Sub, part)
			} else if n, err := a.scalar(v); a.Type == Complex || err != nil || n != v {
				t.Errorf("%s: %s is %v: %v", at, a.Name, v, err)
			}
		}
	}
	if left > 0 {
		t.Errorf("%s has %d members its schema does not know: %s", at, left, jsonOf(m))
	}
}

func TestCharacteristicsAreThoseOfTheStandard(t *testing.T) {
	for _, test := range []struct {
		schema *Schema
		path   string
		want   string
	}{
		{userSchema, "userName", "string single required anycase readWrite default server"},
		{userSchema, "name", "complex single optional anycase readWrite default none"},
		{userSchema, "name.formatted", "string single optional anycase readWrite default none"},
		{userSchema, "active", "boolean single optional anycase readWrite default none"},
		{userSchema, "password", "string single optional exact writeOnly never none"},
		{userSchema, "profileUrl", "reference single optional exact readWrite default none"},
		{userSchema, "emails", "complex multi optional anycase readWrite default none"},
		{userSchema, "emails.primary", "boolean single optional anycase readWrite default none"},
		{userSchema, "groups", "complex multi optional anycase readOnly default none"},
		{userSchema, "groups.value", "string single optional exact readOnly default none"},
		{userSchema, "x509Certificates.value", "binary single optional exact readWrite default none"},
		{groupSchema, "displayName", "string single required anycase readWrite default server"},
		{groupSchema, "members", "complex multi optional anycase readWrite default none"},
		{groupSchema, "members.value", "string single optional exact immutable default none"},
		{enterpriseSchema, "manager.displayName", "string single optional anycase readOnly default none"},
		{workbenchSchema, "posixUserId", "integer single optional anycase readWrite default server"},
		{posixUserSchema, "sshPublicKeys", "string multi optional exact readWrite default none"},
	} {
		name, sub, _ := strings.Cut(test.path, ".")
		a := test.schema.Attribute(strings.ToUpper(name))
		if sub != "" {
			a = a.SubAttribute(strings.ToUpper(sub))
		}
		pick := func(b bool, yes, no string) string {
			if b {
				return yes
			}
			return no
		}
		got := strings.Join([]string{string(a.Type), pick(a.MultiValued, "multi", "single"), pick(a.Required, "required", "optional"), pick(a.CaseExact, "exact", "anycase"), a.Mutability, a.Returned, a.Uniqueness}, " ")
		if got != test.want {
			t.Errorf("%s: got %s, want %s", test.path, got, test.want)
		}
	}
}

func TestResourceTypeDocuments(t *testing.T) {
	docs := ResourceTypeDocuments(strings.TrimSuffix(base, "/"))
	if len(docs) != 2 || docs[0]["endpoint"] != "/Users" || docs[1]["endpoint"] != "/Groups" {
		t.Fatalf("got %s", jsonOf(docs))
	}
	if want := "https://pwb.example/scim/v2/ResourceTypes/User"; docs[0]["meta"].(map[string]any)["location"] != want {
		t.Errorf("User is at %v", docs[0]["meta"])
	}
}

func TestServiceProviderConfigDocument(t *testing.T) {
	doc := ServiceProviderConfigDocument(base, ProviderOptions{MaxResults: 200, Bulk: true, BulkMaxOperations: 1000, BulkMaxPayload: 1 << 20, ETag: true})
	got := jsonOf(doc)
	for _, part := range []string{
		`"patch":{"supported":true}`, `"filter":{"maxResults":200,"supported":true}`, `"bulk":{"maxOperations":1000,"maxPayloadSize":1048576,"supported":true}`,
		`"etag":{"supported":true}`, `"sort":{"supported":false}`, `"changePassword":{"supported":false}`, `"type":"oauthbearertoken"`,
		`"location":"https://pwb.example/scim/v2/ServiceProviderConfig"`,
	} {
		if !strings.Contains(got, part) {
			t.Errorf("%s is not in %s", part, got)
		}
	}
	if strings.Contains(got, "documentationUri") {
		t.Error("documentationUri stands there without a value")
	}
}
