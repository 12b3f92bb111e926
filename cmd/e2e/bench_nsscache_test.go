package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// nsscacheEnv is the command that runs nsscache, where that is not in PATH: such as
// "python3 /path/of/a/clone/nsscache".
const nsscacheEnv = "NSSCACHE"

// nsscacheBefore is told where nsscache cannot be had.
const nsscacheBefore = `# NOT MEASURED HERE: nsscache is not installed (or set %s). On another day, on a machine
# like the one that the README's figures are from, it took at 100,000 users: full 3.8 s and 143 MiB; one changed
# gecos 2.4 s, 8.0 MB, 179 MiB; one new user 5.95 s, 24.6 MB; no change 91 ms.
`

// nsscache (github.com/google/nsscache) is what is used today to have such files
// from a server. Here it pulls what an agent rendered from a static HTTP server,
// into a directory of its own.
type nsscache struct {
	command []string
	dir     string // of all that follows
	meter   *meter
	mtime   time.Time // of what is served
	n       int
}

// newNsscache returns nil, and says so, where there is no nsscache.
func newNsscache(b *testing.B, r *rig) *nsscache {
	b.Helper()
	command := strings.Fields(os.Getenv(nsscacheEnv))
	if len(command) == 0 {
		if _, err := exec.LookPath("nsscache"); err != nil {
			fmt.Printf(nsscacheBefore, nsscacheEnv)
			return nil
		}
		command = []string{"nsscache"}
	}
	c := &nsscache{command: command, dir: filepath.Join(r.dir, "nsscache"), mtime: time.Now().Add(-24 * time.Hour)}
	for _, dir := range []string{"", "served", "cache", "times"} {
		mustMkdir(b, filepath.Join(c.dir, dir))
	}
	for _, name := range rendered {
		data, err := os.ReadFile(filepath.Join(r.agent.Dir, name))
		if err != nil {
			b.Fatal(err)
		}
		c.serve(b, name, data)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(c.dir, "served"))))
	b.Cleanup(server.Close)
	c.meter = newMeter(b, strings.TrimPrefix(server.URL, "http://"))
	c.configure(b, "direct", server.URL)
	c.configure(b, "metered", "http://"+c.meter.address)
	return c
}

// configure writes a configuration. Nothing of it is the machine's own.
func (c *nsscache) configure(b *testing.B, name, url string) {
	b.Helper()
	conf := "[DEFAULT]\nsource = http\ncache = files\nmaps = passwd, group, shadow\nfiles_cache_filename_suffix = cache\n" +
		fmt.Sprintf("timestamp_dir = %[1]s/times\nlockfile = %[1]s/lock\nfiles_dir = %[1]s/cache\n", c.dir)
	for _, file := range rendered {
		conf += fmt.Sprintf("http_%s_url = %s/%s\n", file, url, file)
	}
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(conf), 0o644); err != nil {
		b.Fatal(err)
	}
}

// serve replaces a served file. If-Modified-Since counts in seconds, so each
// version is one younger than the one before.
func (c *nsscache) serve(b *testing.B, name string, data []byte) {
	b.Helper()
	path := filepath.Join(c.dir, "served", name)
	c.mtime = c.mtime.Add(time.Second)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		b.Fatal(err)
	}
	if err := os.Chtimes(path, c.mtime, c.mtime); err != nil {
		b.Fatal(err)
	}
}

// edit replaces the served files by what change makes of each.
func (c *nsscache) edit(b *testing.B, change func(name string, data []byte) []byte) {
	b.Helper()
	for _, name := range rendered {
		data, err := os.ReadFile(filepath.Join(c.dir, "served", name))
		if err != nil {
			b.Fatal(err)
		}
		if changed := change(name, data); !bytes.Equal(changed, data) {
			c.serve(b, name, changed)
		}
	}
}

// prepare makes nsscache find a scene.
func (c *nsscache) prepare(b *testing.B, scene string) {
	b.Helper()
	c.n++
	switch scene {
	case "full":
		for _, dir := range []string{"cache", "times"} {
			if err := os.RemoveAll(filepath.Join(c.dir, dir)); err != nil {
				b.Fatal(err)
			}
			mustMkdir(b, filepath.Join(c.dir, dir))
		}
	case "one-changed":
		c.edit(b, func(name string, data []byte) []byte {
			if name != "passwd" {
				return data
			}
			line, rest, _ := bytes.Cut(data, []byte("\n"))
			fields := strings.Split(string(line), ":")
			fields[4] = fmt.Sprint("Name ", c.n)
			return append([]byte(strings.Join(fields, ":")+"\n"), rest...)
		})
	case "one-new":
		c.edit(b, func(name string, data []byte) []byte {
			user, id := fmt.Sprint("late", c.n), fmt.Sprint(2_000_000+c.n)
			return append(data, map[string]string{
				"passwd": user + ":x:" + id + ":" + id + "::/home/" + user + ":/bin/bash\n",
				"group":  user + ":x:" + id + ":\n",
				"shadow": user + ":*:::::::\n",
			}[name]...)
		})
	case "one-deleted":
		c.edit(b, func(_ string, data []byte) []byte {
			return data[:bytes.LastIndexByte(data[:len(data)-1], '\n')+1]
		})
	}
}

// update is the command that is measured.
func (c *nsscache) update(conf, scene string) *exec.Cmd {
	args := append(c.command[1:len(c.command):len(c.command)], "-c", filepath.Join(c.dir, conf), "update")
	if scene == "full" {
		args = append(args, "--full")
	}
	return exec.CommandContext(context.Background(), c.command[0], args...)
}

// run measures a scene.
func (c *nsscache) run(b *testing.B, scene string) {
	c.prepare(b, scene)
	c.meter.bytes.Store(0)
	if out, err := c.update("metered", scene).CombinedOutput(); err != nil {
		b.Fatalf("nsscache: %v: %s", err, out)
	}
	wire := c.meter.bytes.Load()
	var costs []cost
	for b.Loop() {
		for range 3 {
			b.StopTimer()
			c.prepare(b, scene)
			b.StartTimer()
			costs = append(costs, timed(b, c.update("direct", scene)))
		}
	}
	reportCosts(b, costs, wire)
	b.ReportMetric(float64(c.surplus(b)), "surplus-lines")
}

// surplus counts the lines of its passwd file that the source does not have any
// more: accounts that were deleted and can still log in.
func (c *nsscache) surplus(b *testing.B) int {
	b.Helper()
	lines := func(path string) int {
		data, err := os.ReadFile(filepath.Join(c.dir, path))
		if err != nil {
			b.Fatal(err)
		}
		return bytes.Count(data, []byte("\n"))
	}
	return lines("cache/passwd.cache") - lines("served/passwd")
}
