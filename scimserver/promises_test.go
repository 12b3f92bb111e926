package scimserver_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// promise is something that identity providers may rely on, and what shows
// that it holds: names of tests here, of tests of package scim with "scim."
// before them, and of fixtures without their number, as in "create-user".
type promise struct {
	says  string
	shown string
}

// promises by the directory of the fixtures that show them. A provider that
// gets a new way of doing something gets a line here, and the line a fixture.
var promises = map[string][]promise{
	"everywhere": {
		{"names of attributes are matched in any case", "names-in-any-case scim.TestNormalize"},
		{"so are URNs", "names-in-any-case patch-in-any-case TestEveryFormOfAFilterIsUnderstood"},
		{"and operators", "parameters-in-any-case TestEveryFormOfAFilterIsUnderstood"},
		{"and operations of PATCH", "patch-in-any-case scim.TestParsePatch"},
		{"and query parameters", "parameters-in-any-case"},
		{"and endpoint paths, with a slash at their end or one too many", "names-in-any-case slash-too-many TestEverywhere TestPathsThatAdministratorsMistypeStillLeadThere"},
		{"userName and a group's displayName are compared in any case", "duplicate-in-other-case group-name-in-other-case TestAUserNameIsTakenWithoutRegardToCase TestADisplayNameIsTakenWithoutRegardToCase"},
		{"id and externalId are compared letter by letter", "id-is-exact external-id-is-exact TestEveryFormOfAFilterIsUnderstood"},
		{"schemas may be missing or empty", "names-in-any-case empty-schemas"},
		{"unknown schemas and attributes are ignored", "unknown-and-unassigned"},
		{"unknown query parameters are ignored", "names-in-any-case"},
		{"null and [] mean unassigned", "unknown-and-unassigned TestNullAndTheEmptyListUnassignOnEveryWrite"},
		{"one object may stand where a list belongs", "unknown-and-unassigned"},
		{"booleans may be written as strings", "unknown-and-unassigned empty-schemas"},
		{"also in filters", "quoted-boolean-in-filter TestEveryFormOfAFilterIsUnderstood"},
		{"answers have real booleans", "unknown-and-unassigned TestProviders"},
		{"the whole grammar of filters is read", "TestEveryFormOfAFilterIsUnderstood TestFiltersFindWhatTheySay scim.TestMatch scim.TestParseFilterWritesCanonically"},
		{"values may lack quotes and operators be capital", "TestEveryFormOfAFilterIsUnderstood"},
		{"a value path may be followed by a sub-attribute", "TestEveryFormOfAFilterIsUnderstood"},
		{"attributes may have a URN before them", "TestEveryFormOfAFilterIsUnderstood"},
		{"eq on a complex attribute means its value", "TestEveryFormOfAFilterIsUnderstood"},
		{"and, or, not and pr do what they say", "TestEveryFormOfAFilterIsUnderstood"},
		{`\u escapes are read`, "TestEveryFormOfAFilterIsUnderstood"},
		{"depth and length of a filter are bounded", "TestFiltersHaveBoundsAndReachThem TestQueriesThatAreRefused"},
		{"answers are application/scim+json, without charset", "TestProviders head"},
		{"meta.location is absolute and equals Location", "TestProviders head TestAnswersNameTheConfiguredURL"},
		{"meta.version equals ETag", "TestProviders head"},
		{"numbers of pages are integers", "TestProviders empty-list"},
		{"status is a string in errors", "TestProviders malformed-filter"},
		{"400 and 409 have a scimType: invalidFilter", "malformed-filter"},
		{"invalidPath", "patch-is-atomic"},
		{"noTarget", "patch-without-target"},
		{"invalidSyntax", "malformed-json patch-with-unknown-operation"},
		{"invalidValue", "patch-with-bad-value"},
		{"mutability", "patch-of-read-only"},
		{"uniqueness", "duplicate-in-other-case"},
		{"an extension's URN stands in schemas only when it has data", "names-in-any-case patch-in-any-case TestProviders scim.TestSchemasListsExtensionsThatHaveData"},
		{"lists have Resources also when they are empty", "empty-list count-zero"},
		{"application/json and application/scim+json are taken, with and without charset", "plain-json TestMediaTypesThatAreTaken"},
		{"other media types are refused with 415", "media-type-not-taken TestBodiesThatAreRefused"},
		{"too large a body is refused with 413", "TestBodiesThatAreRefused"},
		{"too large a header is refused with 431", "TestHeadersThatAreTooLargeAreRefusedInTheProtocolsForm"},
		{"too many requests are refused with 429 and Retry-After", "TestATokenThatIsTooBusyIsToldWhenToComeBack"},
		{"If-Match that fails is 412", "if-match if-match-holds TestVersionsGuardAgainstLostUpdates"},
		{"If-None-Match that matches is 304", "if-none-match TestVersionsGuardAgainstLostUpdates"},
		{"attributes and excludedAttributes work on every answer", "create-group password-is-not-echoed parameters-in-any-case TestAttributesAreChosenOnEveryAnswer TestAttributesAreChosenOnPatchAndSearchToo"},
		{"POST …/.search is a query", "search search-everything TestEveryFormOfAFilterIsUnderstood TestAListIsNeverWithoutBounds"},
		{"sortBy and sortOrder order lists", "sort search TestEveryOrderIsTotalInBothDirectionsAndAcrossPages"},
		{"/Bulk resolves bulkIds, forwards and in circles", "bulk-with-a-circle TestBulkResolvesReferencesInEveryDirection"},
		{"and obeys failOnErrors", "TestBulkStopsAfterSoManyErrors"},
		{"and says what is wrong with an operation", "TestBulkTellsWhatIsWrongWithEachOperation"},
		{"and takes as many operations as it says", "TestBulkHasAsManyOperationsAsItSays"},
		{"/Me is 501, as a SCIM error", "me TestMeIsNotOfferedWhateverTheMethod"},
		{"discovery needs no token and takes one", "service-provider-config resource-types schemas TestDiscoveryNeedsNoToken"},
		{"a list is never without bounds", "count-zero TestAListIsNeverWithoutBounds"},
		{"pages neither overlap nor leave gaps", "TestPagesOf250UsersAreStableAndWhole TestEveryOrderIsTotalInBothDirectionsAndAcrossPages"},
		{"a PATCH is done as a whole or not at all", "patch-is-atomic unknown-member TestAPatchIsDoneAsAWholeOrNotAtAll"},
		{"removing what is absent is no error", "remove-what-is-absent"},
		{"adding a member twice leaves one", "create-group TestWhatChangesNoMemberChangesNoVersion"},
		{"a password is never answered", "password-is-not-echoed TestProviders TestAPasswordIsKeptAsAHashAndShownToNobody TestErrorsDoNotRepeatAPassword"},
		{"members who are no users are refused and never rendered", "unknown-member TestMembersThatAreNoUsersAreRefusedAndChangeNothing"},
		{"a token may be Bearer or the password of Basic", "TestWhoHasNoTokenIsToldSo"},
		{"HEAD is GET without a body", "head head-of-list TestHeadIsGetWithoutABody"},
		{"405 names what is allowed", "method-not-allowed TestMethodsThatAreNotAllowedNameThoseThatAre"},
		{"what is not there is 404, as a SCIM error", "unknown-endpoint TestEndpointsThatAreNone"},
		{"a group of 10,000 members can be made and changed", "TestAGroupOf10000Members"},
	},
	"entra": {
		{"1: the test of the connection finds nobody, with 200", "connection-test find-user"},
		{"2: a user is created with an extension that is not there, roles [] and nulls", "create-user create-user-again"},
		{"3: operations are capitalised", "patch-capitalised packed-values"},
		{"3: with the flag one operation has dotted and URN names and an object that merges", "flag-without-path flag-add-and-replace"},
		{"4: who is not assigned is disabled by a word and enabled again", "disable enable flag-enable disable-packed"},
		{"4: who is disabled is found by id and by filter", "disabled-is-found disabled-is-read get-user get-user-that-is-not"},
		{"4: DELETE is 204, then 404; the userName is free, uid and name are not", "delete-user delete-user-again create-deleted-user"},
		{"5: paths with filters, URNs and sub-attributes; elements are made", "patch-capitalised patch-creates-elements patch-custom-extension rename-user"},
		{"5: primary in quotes", "patch-role-by-primary replace-role-by-primary replace-roles-as-a-list"},
		{"6: a manager in three forms", "create-manager manager-as-string manager-as-object manager-as-list"},
		{"6: a manager is cleared in two", "manager-cleared-by-nothing manager-removed"},
		{"7: references are checked", "manager-is-checked manager-is-another member-is-checked member-is-another"},
		{"8: groups come with Microsoft's schema, are read without members and unique by name", "create-group create-group-again get-group find-group delete-group"},
		{"9: members are added", "add-members add-member-again add-member-as-string add-unknown-member"},
		{"9: a removal with a list removes those alone", "remove-listed-member remove-nobody remove-member-again"},
		{"9: with the flag by a filter", "flag-remove-by-filter"},
		{"9: a bare removal empties", "empty-group"},
		{"9: several operations in one PATCH; groups answer 204, users 200", "several-operations patch-capitalised"},
		{"10: 25 requests a second and more are not too many", "TestARateOfRequestsIsUnboundedUnlessItIsConfigured"},
		{"10: more than 150 groups of a user", "groups-of-user TestAUserShowsMoreThan150Groups"},
	},
	"okta": {
		{"1: probes with charsets, pages of 100 in a stable order", "probe probe-of-groups import import-of-one import-past-the-end TestPagesOf250UsersAreStableAndWhole"},
		{"2: a match in any case, then a user with password and groups []", "match-before-create create-user match create-second-user"},
		{"3: custom applications get and put the whole, also to deactivate", "get-user put-profile put-deactivates"},
		{"3: catalogue applications patch without path", "patch-activates patch-password patch-deactivates"},
		{"3: a PUT without active locks and unlocks nobody", "put-without-active put-without-active-when-locked"},
		{"4: groups are renamed without path", "create-group rename-group"},
		{"4: members are removed by filter and added, replaced, and replaced by nobody", "add-member remove-and-add get-group groups-of-user replace-members replace-members-by-nobody"},
		{"4: groups are put, found by name and deleted", "put-group find-group delete-group"},
		{"5: 401 and 404 have the form of errors", "probe-without-token probe-with-wrong-token get-user-that-is-not get-group-that-is-gone"},
		{"5: a userName that is taken is 409", "create-user-again"},
		{"5: an answer about a large group is small", "TestAGroupOf10000Members"},
	},
	"wso2": {
		{"Basic authentication with a token as the password, or Bearer", "create-user create-second-user"},
		{"schemas empty or missing", "create-user create-second-user create-group"},
		{"lookups without quotes before every write", "lookup-before-write lookup lookup-group lookup-after-delete"},
		{"PUT and PATCH of users answer with the body", "put-user patch-add patch-replace-by-filter patch-remove-by-filter patch-remove patch-remove-again patch-with-short-names"},
		{"members are added to a group without path, and the answer has the body", "add-member-without-path"},
		{"members are removed and exchanged by the name that is shown", "remove-member-by-display exchange-member"},
		{"users and groups are really deleted", "delete-user delete-group"},
		{"passwords are provisioned", "create-user put-password patch-password"},
		{"the tutorial works from end to end", "create-user get-user put-user delete-user list-with-attributes list-without-attributes get-group put-group list-groups-without-members bulk me service-provider-config"},
	},
	"onelogin": {
		{"active in quotes, id null, the schema of SCIM 1, e-mails as one object", "create-user put-user"},
		{"probes /ServiceProviderConfig", "probe lookup"},
		{"who leaves is suspended by a word", "suspend-user"},
		{"groups likewise", "create-group delete-user"},
	},
	"google": {
		{"probes users alone", "probe probe-again lookup"},
		{"PUT and PATCH", "create-user put-user patch-user suspend-user delete-user"},
	},
	"jumpcloud": {
		{"PUT with e-mails null, id in the body, photos without type", "put-user put-deactivates"},
		{"the activation makes and deletes a test user", "lookup create-test-user get-test-user delete-test-user"},
		{"and a test group", "create-test-group add-member remove-member delete-test-group"},
		{"a rename by PATCH without path", "rename-group"},
	},
	"authentik": {
		{"reads /ServiceProviderConfig and obeys bulk.maxOperations", "service-provider-config TestBulkHasAsManyOperationsAsItSays"},
		{"filters without quotes", "lookup lookup-group create-user-again create-group-again"},
		{"many operations in one PATCH", "create-group add-members replace-group-by-paths TestAGroupOf10000Members"},
		{"a removal with a list", "remove-members"},
		{"404 to a PUT makes it create again", "create-user put-user put-user-that-is-gone create-user-that-was-gone delete-user"},
		{"a group comes whole without path and keeps its members", "replace-group-without-path discover-groups delete-group"},
		{"members are compared where the answer has a list of them", "get-empty-group"},
	},
	"keycloak": {
		{"a removal of members with null empties the group", "remove-null-empties"},
		{"groups in a PUT of a user are ignored", "put-user-with-groups"},
		{"Bearer or Basic", "create-user create-group put-group put-disables delete-user"},
	},
	"rauthy": {
		{"filters on externalId", "lookup-by-external-id found-by-external-id external-id-is-exact lookup-group-by-external-id found-group-by-external-id"},
		{"filters on userName and displayName", "lookup-by-name lookup-group-by-name"},
		{"users are created, read, put and deleted", "create-user get-user put-user delete-user"},
		{"groups are created, read, patched and deleted", "create-group get-group add-member remove-member delete-group"},
	},
}

func TestEveryPromiseToAProviderIsShown(t *testing.T) {
	t.Parallel()
	tests := testNames(t)
	if have := providers(t); len(have) != len(promises) {
		t.Errorf("there are fixtures for %v and promises to %d", have, len(promises))
	}
	for provider, list := range promises {
		fixtures := map[string]bool{} // whether a promise needs it
		for _, name := range fixtureNames(t, provider) {
			_, short, _ := strings.Cut(name, "-")
			if _, twice := fixtures[short]; twice {
				t.Errorf("%s: two fixtures are called %s", provider, short)
			}
			fixtures[short] = false
		}
		for _, p := range list {
			if p.shown == "" {
				t.Errorf("%s: nothing shows that %s", provider, p.says)
			}
			for _, name := range strings.Fields(p.shown) {
				if strings.HasPrefix(strings.TrimPrefix(name, "scim."), "Test") {
					if !slices.Contains(tests, name) {
						t.Errorf("%s: there is no test %s, to show that %s", provider, name, p.says)
					}
					continue
				}
				if _, ok := fixtures[name]; !ok {
					t.Errorf("%s: there is no fixture %s, to show that %s", provider, name, p.says)
				}
				fixtures[name] = true
			}
		}
		for name, needed := range fixtures {
			if !needed {
				t.Errorf("%s: no promise needs the fixture %s", provider, name)
			}
		}
	}
}

// testNames lists the tests of this package and of package scim.
func testNames(t *testing.T) (names []string) {
	t.Helper()
	for prefix, pattern := range map[string]string{"": "*_test.go", "scim.": "scim/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
					names = append(names, prefix+fn.Name.Name)
				}
			}
		}
	}
	return names
}
