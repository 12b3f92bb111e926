package scim

// enterpriseSchema is the enterprise User extension (RFC 7643 §4.3).
var enterpriseSchema = newSchema(Schema{
	ID:          EnterpriseURN,
	Name:        "EnterpriseUser",
	Description: "What an organization knows about a user",
	Attributes: []Attribute{
		{Name: "employeeNumber", Description: "Identifier of the user within the organization."},
		{Name: "costCenter", Description: "Name of a cost center."},
		{Name: "organization", Description: "Name of an organization."},
		{Name: "division", Description: "Name of a division."},
		{Name: "department", Description: "Name of a department."},
		{Name: "manager", Type: Complex, Description: "The user's manager.",
			Sub: []Attribute{
				{Name: "value", CaseExact: true, Description: "Identifier of the manager's User resource."},
				{Name: "$ref", Type: Reference, ReferenceTypes: []string{"User"}, derived: true, Description: "URI of the manager's User resource; follows from value."},
				{Name: "displayName", Mutability: ReadOnly, Description: "The manager's name as it should be shown to people."},
			}},
	},
})

// workbenchSchema is the User extension of Posit Workbench.
var workbenchSchema = newSchema(Schema{
	ID:          WorkbenchURN,
	Name:        "WorkbenchUser",
	Description: "What Workbench knows about a user's account",
	Attributes: []Attribute{
		{Name: "admin", Type: Boolean, Description: "Whether the user is an administrator of Workbench."},
		{Name: "posixUserName", CaseExact: true, Uniqueness: UniqueServer, line: true, Description: "Name of the account on Linux."},
		{Name: "posixUserId", Type: Integer, Uniqueness: UniqueServer, Description: "UID of the account."},
		{Name: "homeDirectory", CaseExact: true, line: true, Description: "Home directory of the account, an absolute path."},
	},
})

// posixUserSchema is pwb's own User extension.
var posixUserSchema = newSchema(Schema{
	ID:          PosixUserURN,
	Name:        "PosixUser",
	Description: "What else a Linux account has",
	Attributes: []Attribute{
		{Name: "loginShell", CaseExact: true, line: true, Description: "Login shell of the account, an absolute path."},
		{Name: "posixGroupId", Type: Integer, Description: "GID of the account's primary group."},
		{Name: "endDate", Type: DateTime, Description: "When the account locks by itself."},
		{Name: "sshPublicKeys", MultiValued: true, CaseExact: true, line: true, Description: "Keys that may log in over SSH, each as a line of authorized_keys without options."},
	},
})

// posixGroupSchema is pwb's own Group extension.
var posixGroupSchema = newSchema(Schema{
	ID:          PosixGroupURN,
	Name:        "PosixGroup",
	Description: "What a Linux group has",
	Attributes: []Attribute{
		{Name: "posixGroupId", Type: Integer, Uniqueness: UniqueServer, Description: "GID of the group."},
		{Name: "posixGroupName", CaseExact: true, Uniqueness: UniqueServer, line: true, Description: "Name of the group on Linux."},
	},
})
