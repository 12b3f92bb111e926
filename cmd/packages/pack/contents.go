package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"pwb/cmd/packages"
)

// contents are what one package holds beside its fixed files, as its template reads
// them. Paths are relative to the stage.
type contents struct {
	*options
	Name        string
	Helpers     []string // programs of /usr/libexec/pwb
	Configs     []string
	Pages       []string // compressed
	Completions []completion
}

// completion is a file that a shell reads: from the stage, to the system.
type completion struct{ From, To string }

// page adds a manual page of the stage.
func (c *contents) page(path string) error {
	text, err := os.ReadFile(filepath.Join(c.stage, path))
	if err != nil {
		return err
	}
	c.Pages = append(c.Pages, path+".gz")
	return writeCompressed(filepath.Join(c.stage, path+".gz"), text)
}

// writeCompressed writes a file without the name and time that gzip(1) adds.
func writeCompressed(path string, text []byte) error {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(text); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// copyFiles puts what every package has into the stage.
func (o *options) copyFiles() error {
	if err := os.CopyFS(o.stage, packages.Files); err != nil {
		return fmt.Errorf("copy what packages hold: %w", err)
	}
	doc := filepath.Join(o.stage, "doc")
	if err := os.Mkdir(doc, 0o755); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(o.stage, "copyright"), filepath.Join(doc, "copyright")); err != nil {
		return err
	}
	if err := o.copyDocs(filepath.Join(doc, "docs")); err != nil {
		return err
	}
	for _, name := range []string{"README.md", "LICENSE", "CHANGELOG.md", "cmd/pwb-server/monitoring/alerts.yaml", "cmd/pwb-server/monitoring/dashboard.json"} {
		text, err := os.ReadFile(filepath.Join(o.root, name))
		if err == nil && name == "CHANGELOG.md" {
			err = writeCompressed(filepath.Join(doc, "changelog.gz"), text)
		} else if err == nil {
			err = os.WriteFile(filepath.Join(doc, filepath.Base(name)), text, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyDocs copies the documentation, to which README.md points.
func (o *options) copyDocs(to string) error {
	if err := os.CopyFS(to, os.DirFS(filepath.Join(o.root, "docs"))); err != nil {
		return fmt.Errorf("copy the documentation: %w", err)
	}
	return filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(filepath.Dir(to), path)
		o.Docs = append(o.Docs, name)
		return err
	})
}

// pack makes the deb and the rpm of one package, all of whose files are as old as
// the source.
func (o *options) pack(ctx context.Context, c contents, at time.Time) error {
	room := strings.TrimPrefix(c.Name, "pwb-")
	if manual := room + "/libnss_pwb.8"; room == "agent" {
		if err := c.page(manual); err != nil {
			return err
		}
	}
	slices.SortFunc(c.Completions, func(a, b completion) int { return strings.Compare(a.To, b.To) })
	t, err := template.New("nfpm.yaml.tmpl").Funcs(template.FuncMap{
		"base":    filepath.Base,
		"list":    func(s ...string) []string { return s },
		"manpath": manpath,
	}).ParseFiles(filepath.Join(o.stage, room, "nfpm.yaml.tmpl"))
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, c); err != nil {
		return err
	}
	config := filepath.Join(o.stage, c.Name+".yaml")
	if err := os.WriteFile(config, text.Bytes(), 0o644); err != nil {
		return err
	}
	err = filepath.WalkDir(o.stage, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, at, at)
	})
	if err != nil {
		return err
	}
	for _, packager := range strings.Split(c.formats, ",") {
		// nfpm finds sources from where it runs, and go run its module anywhere.
		line := fmt.Sprintf("cd %s && exec %s package --config %s --packager %s --target %s", quote(o.stage), o.nfpm, quote(config), packager, quote(o.out))
		if err := o.command(ctx, []string{fmt.Sprintf("SOURCE_DATE_EPOCH=%d", at.Unix()), "GOFLAGS=-mod=mod"}, "sh", "-c", line); err != nil {
			return err
		}
	}
	return nil
}

// manpath is where the system looks for a compressed page.
func manpath(page string) string {
	name := filepath.Base(page)
	section := filepath.Ext(strings.TrimSuffix(name, ".gz"))
	return "/usr/share/man/man" + strings.TrimPrefix(section, ".") + "/" + name
}

// quote makes one word of a shell of it.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
