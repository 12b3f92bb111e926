package scim

// User is the User resource type (RFC 7643 §4.1) with its extensions.
var User = newResourceType(ResourceType{
	Name:        "User",
	Endpoint:    "/Users",
	Description: "People and services that have an account",
	Schema:      userSchema,
	Extensions:  []*Schema{enterpriseSchema, workbenchSchema, posixUserSchema},
})

// Group is the Group resource type (RFC 7643 §4.2) with its extension. Its
// members are never part of a [Resource]: see [GroupMembers] and [Members].
var Group = newResourceType(ResourceType{
	Name:        "Group",
	Endpoint:    "/Groups",
	Description: "Groups of users",
	Schema:      groupSchema,
	Extensions:  []*Schema{posixGroupSchema},
})

// commonAttributes belong to every resource (RFC 7643 §3.1) and to no schema.
var commonAttributes = []Attribute{
	{Name: "schemas", MultiValued: true, Required: true, Returned: ReturnedAlways, derived: true,
		Description: "URNs of the schemas the resource has data of."},
	{Name: "id", Required: true, CaseExact: true, Mutability: ReadOnly, Returned: ReturnedAlways, Uniqueness: UniqueServer,
		Description: "Identifier given by this server."},
	{Name: "externalId", CaseExact: true, line: true,
		Description: "Identifier given by the client."},
	{Name: "meta", Type: Complex, CaseExact: true, Mutability: ReadOnly,
		Description: "What the server knows about the resource.",
		Sub: []Attribute{
			{Name: "resourceType", CaseExact: true, Mutability: ReadOnly, Description: "Name of the resource type."},
			{Name: "created", Type: DateTime, Mutability: ReadOnly, Description: "When the resource was created."},
			{Name: "lastModified", Type: DateTime, Mutability: ReadOnly, Description: "When the resource last changed."},
			{Name: "location", Type: Reference, ReferenceTypes: []string{"uri"}, Mutability: ReadOnly, Description: "URI of the resource."},
			{Name: "version", CaseExact: true, Mutability: ReadOnly, Description: "Entity tag of the resource."},
		}},
}

var commonIndex = complete(commonAttributes)

var userSchema = newSchema(Schema{
	ID:          UserURN,
	Name:        "User",
	Description: "A user account",
	Attributes: []Attribute{
		{Name: "userName", Required: true, Uniqueness: UniqueServer, line: true,
			Description: "Name the user signs in with at the identity provider. Unique without regard to case."},
		{Name: "name", Type: Complex, Description: "Parts of the user's name.",
			Sub: []Attribute{
				{Name: "formatted", Description: "The full name, ready to be shown."},
				{Name: "familyName", Description: "The family name."},
				{Name: "givenName", Description: "The given name."},
				{Name: "middleName", Description: "The middle names."},
				{Name: "honorificPrefix", Description: "A title before the name, such as Dr."},
				{Name: "honorificSuffix", Description: "A suffix after the name, such as III."},
			}},
		{Name: "displayName", Description: "The name as it should be shown to people."},
		{Name: "nickName", Description: "What friends call the user."},
		{Name: "profileUrl", Type: Reference, ReferenceTypes: []string{"external"}, Description: "Address of the user's profile page."},
		{Name: "title", Description: "The user's position, such as Vice President."},
		{Name: "userType", Description: "The user's relation to the organization, such as Contractor."},
		{Name: "preferredLanguage", Description: "The user's languages, as in the HTTP header Accept-Language."},
		{Name: "locale", Description: "The user's locale as a language tag, for dates and currency."},
		{Name: "timezone", Description: "The user's time zone as a name of the IANA database."},
		{Name: "active", Type: Boolean, Description: "Whether the account may be used. A false value locks it everywhere."},
		{Name: "password", Mutability: WriteOnly, Returned: ReturnedNever, CaseExact: true,
			Description: "The password in clear text. It is stored only as a hash and never returned."},
		plural("emails", "E-mail address", []string{"work", "home", "other"}, Attribute{}),
		plural("phoneNumbers", "Telephone number", []string{"work", "home", "mobile", "fax", "pager", "other"}, Attribute{}),
		plural("ims", "Instant messaging address", []string{"aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"}, Attribute{}),
		plural("photos", "Address of a picture", []string{"photo", "thumbnail"}, Attribute{Type: Reference, ReferenceTypes: []string{"external"}}),
		{Name: "addresses", Type: Complex, MultiValued: true, Description: "Postal addresses of the user.",
			Sub: []Attribute{
				{Name: "formatted", Description: "The full address, ready for a label; may hold newlines."},
				{Name: "streetAddress", Description: "Street and number; may hold newlines."},
				{Name: "locality", Description: "City or locality."},
				{Name: "region", Description: "State or region."},
				{Name: "postalCode", Description: "Postal code."},
				{Name: "country", Description: "Country as a two-letter code of ISO 3166-1."},
				{Name: "type", CanonicalValues: []string{"work", "home", "other"}, Description: "What the address is for."},
				primaryAttribute,
			}},
		{Name: "groups", Type: Complex, MultiValued: true, Mutability: ReadOnly,
			Description: "Groups the user belongs to. Changed through the groups' members only.",
			Sub: []Attribute{
				{Name: "value", CaseExact: true, Mutability: ReadOnly, Description: "Identifier of the group."},
				{Name: "$ref", Type: Reference, ReferenceTypes: []string{"User", "Group"}, Mutability: ReadOnly, Description: "URI of the group."},
				{Name: "display", Mutability: ReadOnly, Description: "Name of the group."},
				{Name: "type", CanonicalValues: []string{"direct", "indirect"}, Mutability: ReadOnly, Description: "Whether the user is a member itself or through another group."},
			}},
		plural("entitlements", "Entitlement", nil, Attribute{}),
		plural("roles", "Role", nil, Attribute{}),
		plural("x509Certificates", "Certificate in DER form", nil, Attribute{Type: Binary}),
	},
})

var groupSchema = newSchema(Schema{
	ID:          GroupURN,
	Name:        "Group",
	Description: "A group of users",
	Attributes: []Attribute{
		{Name: "displayName", Required: true, line: true, Uniqueness: UniqueServer,
			Description: "Name of the group. Unique without regard to case."},
		{Name: "members", Type: Complex, MultiValued: true, apart: true, Description: "Members of the group.",
			Sub: []Attribute{
				{Name: "value", CaseExact: true, Mutability: Immutable, Description: "Identifier of the member."},
				{Name: "$ref", Type: Reference, ReferenceTypes: []string{"User", "Group"}, Mutability: Immutable, Description: "URI of the member."},
				{Name: "display", Mutability: ReadOnly, Description: "Name of the member."},
				{Name: "type", CanonicalValues: []string{"User", "Group"}, Mutability: Immutable, Description: "Resource type of the member."},
			}},
	},
})

// primaryAttribute marks the preferred element of a multi-valued attribute.
var primaryAttribute = Attribute{Name: "primary", Type: Boolean, Description: "Whether this is the preferred one. True for at most one."}

// plural makes a multi-valued attribute with the usual sub-attributes (RFC 7643
// §2.4); value carries what is special about its value.
func plural(name, what string, types []string, value Attribute) Attribute {
	value.Name = "value"
	value.Description = what + "."
	return Attribute{Name: name, Type: Complex, MultiValued: true, Description: what + "; several are possible.",
		Sub: []Attribute{
			value,
			{Name: "display", Description: "The value as it should be shown to people."},
			{Name: "type", CanonicalValues: types, Description: "What the value is for."},
			primaryAttribute,
		}}
}
