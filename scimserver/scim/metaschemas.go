package scim

// The schemas of the discovery documents themselves (RFC 7643 §5-7, §8.7.2).
// Nobody writes such documents, so everything in them is readOnly.
var metaSchemas = []*Schema{providerConfigSchema, resourceTypeSchema, schemaSchema}

var providerConfigSchema = newSchema(Schema{
	ID:          ServiceProviderConfigURN,
	Name:        "ServiceProviderConfig",
	Description: "What this server can do",
	Attributes: []Attribute{
		fixed(Attribute{Name: "documentationUri", Type: Reference, ReferenceTypes: []string{"external"}, Description: "Address of help for people."}),
		group("patch", "PATCH requests.", supportedAttribute),
		group("bulk", "Bulk requests.", supportedAttribute,
			required(Attribute{Name: "maxOperations", Type: Integer, Description: "How many operations one request may have."}),
			required(Attribute{Name: "maxPayloadSize", Type: Integer, Description: "How many bytes one request may have."})),
		group("filter", "Filters.", supportedAttribute,
			required(Attribute{Name: "maxResults", Type: Integer, Description: "How many resources one answer may have."})),
		group("changePassword", "Changing a password.", supportedAttribute),
		group("sort", "Sorting.", supportedAttribute),
		group("etag", "Entity tags.", supportedAttribute),
		several(group("authenticationSchemes", "Ways to authenticate.",
			required(Attribute{Name: "type", CanonicalValues: []string{"oauth", "oauth2", "oauthbearertoken", "httpbasic", "httpdigest"}, Description: "The kind of scheme."}),
			required(Attribute{Name: "name", Description: "The scheme's common name."}),
			required(Attribute{Name: "description", Description: "What the scheme is."}),
			fixed(Attribute{Name: "specUri", Type: Reference, ReferenceTypes: []string{"external"}, Description: "Address of the scheme's specification."}),
			fixed(Attribute{Name: "documentationUri", Type: Reference, ReferenceTypes: []string{"external"}, Description: "Address of help on using the scheme."}),
			fixed(Attribute{Name: "primary", Type: Boolean, Description: "Whether this is the preferred scheme."}))),
	},
})

var supportedAttribute = required(Attribute{Name: "supported", Type: Boolean, Description: "Whether this is supported."})

var resourceTypeSchema = newSchema(Schema{
	ID:          ResourceTypeURN,
	Name:        "ResourceType",
	Description: "A kind of resource",
	Attributes: []Attribute{
		fixed(Attribute{Name: "id", Description: "Identifier of the resource type, the same as its name."}),
		required(Attribute{Name: "name", Description: "Name of the resource type."}),
		fixed(Attribute{Name: "description", Description: "What the resource type is."}),
		required(Attribute{Name: "endpoint", Type: Reference, ReferenceTypes: []string{"uri"}, Description: "Where its resources are, below the base URL."}),
		required(Attribute{Name: "schema", Type: Reference, ReferenceTypes: []string{"uri"}, Description: "URN of its schema."}),
		several(fixed(Attribute{Name: "schemaExtensions", Type: Complex, Description: "Its extensions.",
			Sub: []Attribute{
				required(Attribute{Name: "schema", Type: Reference, ReferenceTypes: []string{"uri"}, Description: "URN of the extension."}),
				required(Attribute{Name: "required", Type: Boolean, Description: "Whether a resource must have data of it."}),
			}})),
	},
})

var schemaSchema = newSchema(Schema{
	ID:          SchemaURN,
	Name:        "Schema",
	Description: "A set of attributes",
	Attributes: []Attribute{
		required(Attribute{Name: "id", Description: "URN of the schema."}),
		fixed(Attribute{Name: "name", Description: "Name of the schema."}),
		fixed(Attribute{Name: "description", Description: "What the schema describes."}),
		several(group("attributes", "Attributes of the schema.",
			append(characteristics(), several(optionalGroup("subAttributes", "Attributes of a complex attribute.", characteristics()...)))...)),
	},
})

// characteristics are the attributes that describe an attribute (RFC 7643 §7).
func characteristics() []Attribute {
	return []Attribute{
		required(Attribute{Name: "name", CaseExact: true, Description: "Name of the attribute."}),
		required(Attribute{Name: "type", Description: "Data type of the attribute.",
			CanonicalValues: []string{"string", "complex", "boolean", "decimal", "integer", "dateTime", "reference", "binary"}}),
		required(Attribute{Name: "multiValued", Type: Boolean, Description: "Whether it can have several values."}),
		fixed(Attribute{Name: "description", CaseExact: true, Description: "What the attribute is."}),
		fixed(Attribute{Name: "required", Type: Boolean, Description: "Whether a resource must have it."}),
		several(fixed(Attribute{Name: "canonicalValues", CaseExact: true, Description: "Values that are usual."})),
		fixed(Attribute{Name: "caseExact", Type: Boolean, Description: "Whether case counts when values are compared."}),
		fixed(Attribute{Name: "mutability", CaseExact: true, Description: "Whether and when clients may change it.",
			CanonicalValues: []string{ReadOnly, ReadWrite, Immutable, WriteOnly}}),
		fixed(Attribute{Name: "returned", CaseExact: true, Description: "When answers have it.",
			CanonicalValues: []string{ReturnedAlways, ReturnedNever, ReturnedDefault, ReturnedRequest}}),
		fixed(Attribute{Name: "uniqueness", CaseExact: true, Description: "How unique its values are.",
			CanonicalValues: []string{UniqueNone, UniqueServer, UniqueGlobal}}),
		several(fixed(Attribute{Name: "referenceTypes", CaseExact: true, Description: "What a reference may lead to."})),
	}
}

// fixed makes an attribute readOnly.
func fixed(a Attribute) Attribute {
	a.Mutability = ReadOnly
	return a
}

// required makes an attribute readOnly and required.
func required(a Attribute) Attribute {
	a.Required = true
	return fixed(a)
}

// several makes an attribute multi-valued.
func several(a Attribute) Attribute {
	a.MultiValued = true
	return a
}

// optionalGroup makes a complex attribute.
func optionalGroup(name, description string, sub ...Attribute) Attribute {
	return fixed(Attribute{Name: name, Type: Complex, Description: description, Sub: sub})
}

// group makes a required complex attribute.
func group(name, description string, sub ...Attribute) Attribute {
	return required(Attribute{Name: name, Type: Complex, Description: description, Sub: sub})
}
