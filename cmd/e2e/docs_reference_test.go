package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// generated begins and ends what is written from the code in a page.
const (
	generated    = "<!-- generated: %s -->\n"
	generatedEnd = "<!-- end of generated -->\n"
)

// TestDocsReferenceIsWhatTheCodeSays writes, with -update, or compares all that pages
// have of the programs, their sources and a server's own answers.
func TestDocsReferenceIsWhatTheCodeSays(t *testing.T) {
	helps := programHelp(t)
	owner := map[string]string{"pwb-server": "server.yaml", "pwb-agent": "agent.yaml", "pwb-pam": "pam.yaml"}
	for _, p := range programs {
		table, keys := programKeys(t, p)
		holds(t, "docs/reference/"+p+".md", "commands of "+p, manual(helps[p], keys, owner[p]))
		holds(t, "docs/reference/configuration.md", "keys of "+p, table)
	}
	holds(t, "docs/reference/exit-status.md", "exit statuses of pwb-agent", agentStatuses(t))
	r := newRig(t)
	holds(t, "docs/reference/scim.md", "schemas", schemaTables(t, r))
	holds(t, "docs/reference/scim.md", "service provider", providerTable(t, r))
	holds(t, "docs/reference/metrics.md", "metrics of pwb-server", metricTable(t, serverMetrics(t, r), "pwb_server_"))
	file := filepath.Join(r.dir, "pwb.prom")
	r.sync(t, 0, "--metrics-file", file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, "docs/reference/metrics.md", "metrics of pwb-agent", metricTable(t, string(text), "pwb_agent_"))
}

// serverMetrics is what a server shows to a token of scope operator, when a node has
// been there.
func serverMetrics(t *testing.T, r *rig) string {
	t.Helper()
	if _, err := r.scim.Create(t.Context(), "/Users", user("ada")); err != nil {
		t.Fatal(err)
	}
	r.sync(t, 0)
	token, err := r.server.Token(t.Context(), "watcher", "operator")
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(within(t), http.MethodGet, r.server.URL+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := r.scim.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("/metrics answered %d: %v", res.StatusCode, err)
	}
	return string(data)
}

// metricTable has the metrics of a scrape whose names begin with the prefix, in order.
func metricTable(t *testing.T, text, prefix string) string {
	t.Helper()
	kinds := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(text, -1) {
		kinds[m[1]] = m[2]
	}
	var rows []string
	for _, m := range regexp.MustCompile(`(?m)^# HELP (\S+) (.*)$`).FindAllStringSubmatch(text, -1) {
		if strings.HasPrefix(m[1], prefix) {
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", m[1], kinds[m[1]], strings.ReplaceAll(m[2], "|", `\|`)))
		}
	}
	if len(rows) < 5 {
		t.Fatalf("there are %d metrics that begin with %s in\n%s", len(rows), prefix, text)
	}
	slices.Sort(rows)
	return "| metric | type | tells |\n|---|---|---|\n" + strings.Join(rows, "")
}

// holds fails when the section of a page is not want, or writes it with -update.
func holds(t *testing.T, name, section, want string) {
	t.Helper()
	text := page(t, name)
	begin := fmt.Sprintf(generated, section)
	before, rest, ok := strings.Cut(text, begin)
	got, after, ok2 := strings.Cut(rest, generatedEnd)
	want = "\n" + want + "\n"
	switch {
	case !ok || !ok2:
		t.Errorf("%s has no section between %q and %q", name, begin, generatedEnd)
	case got == want:
	case !*update:
		t.Errorf("%s is stale: %s is not what the code says; go test ./cmd/e2e -run DocsReference -update writes it", name, section)
	default:
		if err := os.WriteFile(filepath.Join(project, name), []byte(before+begin+want+generatedEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// agentStatuses is a table of the constants in pwb-agent's main.go.
func agentStatuses(t *testing.T) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^\texit\w+ += (\d) // (.*)$`).FindAllStringSubmatch(page(t, "cmd/pwb-agent/main.go"), -1)
	if len(found) < 5 {
		t.Fatalf("main.go has %d statuses", len(found))
	}
	var b strings.Builder
	b.WriteString("| status | meaning |\n|---|---|\n")
	for _, m := range found {
		fmt.Fprintf(&b, "| %s | %s |\n", m[1], m[2])
	}
	return b.String()
}

// attribute is one of /Schemas.
type attribute struct {
	Name, Type, Description, Mutability, Returned, Uniqueness string
	MultiValued, Required, CaseExact                          bool
	SubAttributes                                             []attribute
}

// schemaTables has the attributes of users and groups, as /Schemas tells them.
func schemaTables(t *testing.T, r *rig) string {
	t.Helper()
	answer, err := r.scim.Want(t.Context(), http.StatusOK, http.MethodGet, "/Schemas", nil)
	if err != nil {
		t.Fatal(err)
	}
	var schemas []struct {
		ID, Name, Description string
		Attributes            []attribute
	}
	data, err := json.Marshal(answer["Resources"])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &schemas); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, s := range schemas {
		if !strings.HasSuffix(s.ID, ":User") && !strings.HasSuffix(s.ID, ":Group") {
			continue
		}
		fmt.Fprintf(&b, "### %s\n\n%s. `%s`\n\n| attribute | type | meaning |\n|---|---|---|\n", s.Name, strings.TrimSuffix(s.Description, "."), s.ID)
		for _, a := range s.Attributes {
			b.WriteString(a.row(""))
			for _, sub := range a.SubAttributes {
				b.WriteString(sub.row(a.Name + "."))
			}
		}
		b.WriteByte('\n')
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func (a attribute) row(parent string) string {
	kind := a.Type
	if a.MultiValued {
		kind += ", many"
	}
	for _, is := range []struct {
		said bool
		word string
	}{
		{a.Required, "required"}, {a.Mutability != "readWrite", a.Mutability}, {a.Returned == "never", "never returned"},
		{a.Uniqueness == "server", "unique"}, {a.CaseExact && a.Type == "string", "case counts"},
	} {
		if is.said {
			kind += ", " + is.word
		}
	}
	return fmt.Sprintf("| `%s%s` | %s | %s |\n", parent, a.Name, kind, strings.ReplaceAll(a.Description, "|", `\|`))
}

// providerTable is what /ServiceProviderConfig says with the default settings.
func providerTable(t *testing.T, r *rig) string {
	t.Helper()
	answer, err := r.scim.Want(t.Context(), http.StatusOK, http.MethodGet, "/ServiceProviderConfig", nil)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| feature | offered | bounds |\n|---|---|---|\n")
	for _, name := range []string{"patch", "bulk", "filter", "sort", "etag", "changePassword"} {
		f, ok := answer[name].(map[string]any)
		if !ok {
			t.Fatalf("there is no %s in %v", name, answer)
		}
		var bounds []string
		for k, v := range f {
			if n, ok := v.(float64); ok {
				bounds = append(bounds, fmt.Sprintf("`%s` %.0f", k, n))
			}
		}
		slices.Sort(bounds)
		yes := "no"
		if f["supported"] == true {
			yes = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, yes, strings.Join(bounds, ", "))
	}
	return b.String()
}

// TestDocsNameEveryEndpoint holds the table of endpoints against the server's routes,
// and those of scopes against what token create takes.
func TestDocsNameEveryEndpoint(t *testing.T) {
	t.Parallel()
	text, scopeTable, ok := strings.Cut(page(t, "docs/reference/http.md"), "\n## Scopes\n")
	if !ok {
		t.Fatal("http.md has no section of scopes")
	}
	var files []string
	for _, room := range []string{"scimserver", "scimserver/signin"} {
		found, err := filepath.Glob(filepath.Join(project, room, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	routes := 0
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`mux\.Handle(?:Func)?\("([A-Z]+ )?([^"]+)"`).FindAllStringSubmatch(string(source), -1) {
			routes++
			if !strings.Contains(text, "`"+m[1]+m[2]+"`") {
				t.Errorf("http.md does not have the endpoint %s%s of %s", m[1], m[2], filepath.Base(file))
			}
		}
	}
	if routes < 8 {
		t.Errorf("the server seems to have %d routes", routes)
	}
	create, _ := programHelp(t)["pwb-server"].find([]string{"token", "create"})
	i := slices.IndexFunc(create.flags, func(f commandFlag) bool { return f.name == "scope" })
	_, scopes, ok := strings.Cut(create.flags[i].about, ": ")
	if !ok {
		t.Fatalf("token create says of --scope %q", create.flags[i].about)
	}
	for _, scope := range regexp.MustCompile(`[a-z-]+`).FindAllString(strings.ReplaceAll(scopes, " or ", " "), -1) {
		if !strings.Contains(scopeTable, "| `"+scope+"` |") {
			t.Errorf("http.md has no row for the scope %s", scope)
		}
	}
}
