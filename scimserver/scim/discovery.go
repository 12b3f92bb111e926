package scim

import "strings"

// ProviderOptions is what a server can do beyond the required, for its
// [ServiceProviderConfigDocument].
type ProviderOptions struct {
	MaxResults        int // results of one list request at most
	Bulk              bool
	BulkMaxOperations int // operations of one bulk request at most
	BulkMaxPayload    int // bytes of one bulk request at most
	Sort              bool
	ETag              bool
	ChangePassword    bool
	DocumentationURI  string // help for administrators; "" for none
}

// SchemaDocuments returns the documents of /Schemas (RFC 7643 §7), the resource
// types' schemas first, those of the discovery documents last. Like those of the other functions here they are new
// each time and the caller's own. base is the URL the server is reached under,
// with or without a slash at its end.
func SchemaDocuments(base string) []Resource {
	var docs []Resource
	for _, t := range []*ResourceType{User, Group} {
		docs = append(docs, schemaDocument(base, t.Schema))
		for _, x := range t.Extensions {
			docs = append(docs, schemaDocument(base, x))
		}
	}
	for _, s := range metaSchemas {
		docs = append(docs, schemaDocument(base, s))
	}
	return docs
}

func schemaDocument(base string, s *Schema) Resource {
	return Resource{
		"schemas":     []any{SchemaURN},
		"id":          s.ID,
		"name":        s.Name,
		"description": s.Description,
		"attributes":  attributeDocuments(s.Attributes),
		"meta":        meta(base, "Schema", "/Schemas/"+s.ID),
	}
}

func attributeDocuments(attrs []Attribute) []any {
	docs := make([]any, len(attrs))
	for i := range attrs {
		docs[i] = attributeDocument(&attrs[i])
	}
	return docs
}

func attributeDocument(a *Attribute) map[string]any {
	doc := map[string]any{
		"name":        a.Name,
		"type":        string(a.Type),
		"multiValued": a.MultiValued,
		"description": a.Description,
		"required":    a.Required,
		"mutability":  a.Mutability,
		"returned":    a.Returned,
	}
	switch a.Type {
	case Complex:
		doc["subAttributes"] = attributeDocuments(a.Sub)
	case Boolean:
	default:
		doc["caseExact"] = a.CaseExact
		doc["uniqueness"] = a.Uniqueness
	}
	if len(a.CanonicalValues) > 0 {
		doc["canonicalValues"] = anyList(a.CanonicalValues)
	}
	if len(a.ReferenceTypes) > 0 {
		doc["referenceTypes"] = anyList(a.ReferenceTypes)
	}
	return doc
}

func anyList(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// ResourceTypeDocuments returns the documents of /ResourceTypes (RFC 7643 §6).
func ResourceTypeDocuments(base string) []Resource {
	var docs []Resource
	for _, t := range []*ResourceType{User, Group} {
		extensions := make([]any, len(t.Extensions))
		for i, x := range t.Extensions {
			extensions[i] = map[string]any{"schema": x.ID, "required": false}
		}
		docs = append(docs, Resource{
			"schemas":          []any{ResourceTypeURN},
			"id":               t.Name,
			"name":             t.Name,
			"endpoint":         t.Endpoint,
			"description":      t.Description,
			"schema":           t.Schema.ID,
			"schemaExtensions": extensions,
			"meta":             meta(base, "ResourceType", "/ResourceTypes/"+t.Name),
		})
	}
	return docs
}

// ServiceProviderConfigDocument returns the document of /ServiceProviderConfig
// (RFC 7643 §5). PATCH and filters are always supported.
func ServiceProviderConfigDocument(base string, o ProviderOptions) Resource {
	supported := func(b bool) map[string]any { return map[string]any{"supported": b} }
	doc := Resource{
		"schemas":        []any{ServiceProviderConfigURN},
		"patch":          supported(true),
		"changePassword": supported(o.ChangePassword),
		"sort":           supported(o.Sort),
		"etag":           supported(o.ETag),
		"filter":         map[string]any{"supported": true, "maxResults": int64(o.MaxResults)},
		"bulk": map[string]any{
			"supported":      o.Bulk,
			"maxOperations":  int64(o.BulkMaxOperations),
			"maxPayloadSize": int64(o.BulkMaxPayload),
		},
		"authenticationSchemes": []any{
			map[string]any{
				"type":        "oauthbearertoken",
				"name":        "Bearer token",
				"description": "A token of this server in the Authorization header",
				"specUri":     "https://www.rfc-editor.org/rfc/rfc6750",
				"primary":     true,
			},
			map[string]any{
				"type":        "httpbasic",
				"name":        "HTTP Basic",
				"description": "A token of this server as the password, with any user name",
				"specUri":     "https://www.rfc-editor.org/rfc/rfc7617",
				"primary":     false,
			},
		},
		"meta": meta(base, "ServiceProviderConfig", "/ServiceProviderConfig"),
	}
	if o.DocumentationURI != "" {
		doc["documentationUri"] = o.DocumentationURI
	}
	return doc
}

func meta(base, resourceType, path string) map[string]any {
	return map[string]any{"resourceType": resourceType, "location": strings.TrimSuffix(base, "/") + path}
}
