package scim

// URNs of the schemas this server speaks (RFC 7643 §10.3, RFC 7644 §8.2, and
// those of Workbench and pwb).
const (
	UserURN       = "urn:ietf:params:scim:schemas:core:2.0:User"
	GroupURN      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	EnterpriseURN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	WorkbenchURN  = "urn:rstudio:params:scim:schemas:extension:workbench:1.0:User"
	PosixUserURN  = "urn:pwb:params:scim:schemas:extension:posix:1.0:User"
	PosixGroupURN = "urn:pwb:params:scim:schemas:extension:posix:1.0:Group"

	SchemaURN                = "urn:ietf:params:scim:schemas:core:2.0:Schema"
	ResourceTypeURN          = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
	ServiceProviderConfigURN = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"

	ListURN         = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	SearchURN       = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
	PatchURN        = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	BulkRequestURN  = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
	BulkResponseURN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
	ErrorURN        = "urn:ietf:params:scim:api:messages:2.0:Error"
)

// Type is the data type of an attribute (RFC 7643 §2.3).
type Type string

// The data types, and the Go type a [Resource] holds for each.
const (
	String    Type = "string"    // string
	Boolean   Type = "boolean"   // bool
	Decimal   Type = "decimal"   // float64
	Integer   Type = "integer"   // int64
	DateTime  Type = "dateTime"  // string, RFC 3339
	Binary    Type = "binary"    // string, base64
	Reference Type = "reference" // string, a URI
	Complex   Type = "complex"   // map[string]any
)

// Values of [Attribute.Mutability] (RFC 7643 §7).
const (
	ReadOnly  = "readOnly"
	ReadWrite = "readWrite"
	Immutable = "immutable"
	WriteOnly = "writeOnly"
)

// Values of [Attribute.Returned] (RFC 7643 §7).
const (
	ReturnedAlways  = "always"
	ReturnedNever   = "never"
	ReturnedDefault = "default"
	ReturnedRequest = "request"
)

// Values of [Attribute.Uniqueness] (RFC 7643 §7).
const (
	UniqueNone   = "none"
	UniqueServer = "server"
	UniqueGlobal = "global"
)

// Attribute describes one attribute or sub-attribute (RFC 7643 §7).
type Attribute struct {
	Name            string
	Type            Type
	MultiValued     bool
	Description     string
	Required        bool
	CanonicalValues []string // suggestions; other values are accepted
	CaseExact       bool
	Mutability      string
	Returned        string
	Uniqueness      string
	ReferenceTypes  []string
	Sub             []Attribute // of a complex attribute

	line    bool   // a single line of text: control characters are refused
	apart   bool   // kept outside the Resource, as a group's members are
	derived bool   // worked out by the server: what clients send is ignored
	key     string // the name in lower case
	subs    attributeIndex
}

// Schema is a set of attributes under a URN (RFC 7643 §7).
type Schema struct {
	ID          string // the URN
	Name        string
	Description string
	Attributes  []Attribute

	key     string // the URN in lower case
	guarded bool   // an attribute of it is not returned by default
	index   attributeIndex
}

// Attribute returns the schema's attribute with that name, in any case, or nil.
func (s *Schema) Attribute(name string) *Attribute { return s.index.find(name) }

// SubAttribute returns a's sub-attribute with that name, in any case, or nil.
func (a *Attribute) SubAttribute(name string) *Attribute { return a.subs.find(name) }

// writable reports whether what clients send for a is kept.
func (a *Attribute) writable() bool { return a.Mutability != ReadOnly && !a.derived }

// attributeIndex finds attributes by name: each stands in it under its own and
// under its lower-case name, so that the usual spelling needs no folding.
type attributeIndex map[string]*Attribute

func (x attributeIndex) find(name string) *Attribute {
	if a := x[name]; a != nil {
		return a
	}
	return x[lower(name)]
}

func (x attributeIndex) add(attrs []Attribute) {
	for i := range attrs {
		a := &attrs[i]
		x[a.Name] = a
		x[a.key] = a
	}
}

// newSchema completes a table: characteristics left out take the defaults of
// RFC 7643 §2.2, and the indexes are built.
func newSchema(s Schema) *Schema {
	s.key = lower(s.ID)
	s.index = complete(s.Attributes)
	for i := range s.Attributes {
		s.guarded = s.guarded || s.Attributes[i].Returned != ReturnedDefault
	}
	return &s
}

func complete(attrs []Attribute) attributeIndex {
	for i := range attrs {
		a := &attrs[i]
		a.key = lower(a.Name)
		setDefault(&a.Type, String)
		setDefault(&a.Mutability, ReadWrite)
		setDefault(&a.Returned, ReturnedDefault)
		setDefault(&a.Uniqueness, UniqueNone)
		if a.Type == Reference || a.Type == Binary {
			a.CaseExact = true // RFC 7643 §2.3.6 and §2.3.7
		}
		if a.Type == Complex {
			a.subs = complete(a.Sub)
		}
	}
	x := make(attributeIndex, 2*len(attrs))
	x.add(attrs)
	return x
}

func setDefault[T ~string](field *T, value T) {
	if *field == "" {
		*field = value
	}
}
