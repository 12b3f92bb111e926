package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// populate gives the server n accounts, user0 and on, as an administrator brings
// them in: it takes a third of the time of as many requests.
func (r *rig) populate(b *testing.B, n int) {
	b.Helper()
	var passwd bytes.Buffer
	for i := range n {
		id := 100_000 + i // systemd has those below
		fmt.Fprintf(&passwd, "user%d:x:%d:%d:User user%d:/home/user%d:/bin/bash\n", i, id, id, i, i)
	}
	file := filepath.Join(r.dir, "imported")
	if err := os.WriteFile(file, passwd.Bytes(), 0o600); err != nil {
		b.Fatal(err)
	}
	defer os.Remove(file)
	if out, err := bin.Command(context.Background(), "pwb-server", "import", "passwd", "old="+file, "--data-dir", r.server.DataDir).CombinedOutput(); err != nil {
		b.Fatalf("import: %v: %s", err, out)
	}
}

// BenchmarkSync measures whole processes at 100,000 users: pwb-agent sync, and
// beside it nsscache, which pulls the same files from a static HTTP server. Each
// is followed by what the same bytes take without any of the work, the floor.
func BenchmarkSync(b *testing.B) {
	r := newRig(b)
	r.populate(b, 100_000)
	s := newScenes(b, r, 5)
	other := newNsscache(b, r)
	for _, scene := range []string{"full", "one-changed", "one-new", "no-change"} {
		b.Run(scene+"/pwb-agent", func(b *testing.B) { s.run(b, scene) })
		if other != nil {
			b.Run(scene+"/nsscache", func(b *testing.B) { other.run(b, scene) })
		}
	}
	b.Run("one-deleted/pwb-agent", func(b *testing.B) { s.run(b, "one-deleted") })
	if other != nil {
		b.Run("one-deleted/nsscache", func(b *testing.B) { other.run(b, "one-deleted") })
	}
	b.Run("file-lost/pwb-agent", func(b *testing.B) { s.run(b, "file-lost") })
	s.agent.Flags = append(s.agent.Flags, "--index=true")
	for _, scene := range []string{"full", "one-new", "no-change"} {
		b.Run(scene+"/pwb-agent-with-index", func(b *testing.B) { s.run(b, scene) })
	}
}

// BenchmarkSyncMillion is BenchmarkSync at a million users. It takes minutes, most
// of them to bring the users in.
func BenchmarkSyncMillion(b *testing.B) {
	r := newRig(b)
	began := time.Now()
	r.populate(b, 1_000_000)
	fmt.Printf("# a million users brought in within %v\n", time.Since(began).Round(time.Second))
	s := newScenes(b, r, 3)
	for _, scene := range []string{"full", "one-new", "no-change"} {
		b.Run(scene+"/pwb-agent", func(b *testing.B) { s.run(b, scene) })
	}
}

// scenes are what an agent can find when it makes a pass.
type scenes struct {
	*rig
	rounds int // at the least
	floor  floor
	meter  *meter
	ids    []string // of users whom the provider knows
	n      int
}

// newScenes makes the first pass.
func newScenes(b *testing.B, r *rig, rounds int) *scenes {
	b.Helper()
	s := &scenes{rig: r, rounds: rounds}
	s.meter = newMeter(b, strings.TrimPrefix(r.server.URL, "http://"))
	for i := range 2 {
		s.ids = append(s.ids, s.create(b, fmt.Sprintf("user%d", i))) // an imported one, which becomes the provider's
	}
	s.pass(b)
	s.floor = newFloor(b, r.agent.Dir, filepath.Join(r.dir, "floor"))
	return s
}

func (s *scenes) create(b *testing.B, name string) string {
	b.Helper()
	id, err := s.scim.Create(context.Background(), "/Users", user(name))
	if err != nil {
		b.Fatal(err)
	}
	return id
}

// command is the pass that is measured.
func (s *scenes) command() *exec.Cmd {
	return s.agent.Command(context.Background(), "sync", "--log-level", "error")
}

func (s *scenes) pass(b *testing.B) {
	b.Helper()
	if out, err := s.command().CombinedOutput(); err != nil {
		b.Fatalf("sync: %v: %s", err, out)
	}
}

// prepare makes the agent find a scene.
func (s *scenes) prepare(b *testing.B, scene string) {
	b.Helper()
	s.n++
	switch scene {
	case "full":
		for _, dir := range []string{s.agent.StateDir, s.agent.Dir} {
			if err := os.RemoveAll(dir); err != nil {
				b.Fatal(err)
			}
		}
		mustMkdir(b, s.agent.Dir)
	case "one-changed":
		if _, err := s.scim.Want(context.Background(), http.StatusOK, http.MethodPatch, "/Users/"+s.ids[0],
			fmt.Sprintf(`{"Operations": [{"op": "replace", "path": "displayName", "value": "Name %d"}]}`, s.n)); err != nil {
			b.Fatal(err)
		}
	case "one-new":
		s.ids = append(s.ids, s.create(b, fmt.Sprintf("late%d", s.n)))
	case "one-deleted": // which locks
		if _, err := s.scim.Want(context.Background(), http.StatusNoContent, http.MethodDelete, "/Users/"+s.ids[len(s.ids)-1], nil); err != nil {
			b.Fatal(err)
		}
		if s.ids = s.ids[:len(s.ids)-1]; len(s.ids) == 1 {
			s.ids = append(s.ids, s.create(b, fmt.Sprintf("late%d", s.n)))
		}
	case "file-lost":
		if err := os.Remove(filepath.Join(s.agent.Dir, "group")); err != nil {
			b.Fatal(err)
		}
	}
}

// run measures a scene.
func (s *scenes) run(b *testing.B, scene string) {
	if scene == "no-change" {
		time.Sleep(3 * time.Second) // so that the files' times can be trusted
		s.pass(b)
	}
	// Through the meter once, which costs time.
	s.prepare(b, scene)
	direct := s.agent.Server
	s.agent.Server = "http://" + s.meter.address
	s.meter.bytes.Store(0)
	s.pass(b)
	wire := s.meter.bytes.Load()
	s.agent.Server = direct

	var floors []time.Duration
	var costs []cost
	for b.Loop() {
		for range s.rounds {
			b.StopTimer()
			s.prepare(b, scene)
			if scene == "no-change" {
				floors = append(floors, timed(b, s.agent.Bin.Command(context.Background(), "pwb-agent", "--version")).took)
			} else {
				floors = append(floors, s.floor.write(b))
			}
			b.StartTimer()
			costs = append(costs, timed(b, s.command()))
		}
	}
	reportCosts(b, costs, wire)
	b.ReportMetric(median(floors), map[bool]string{false: "floor-ms", true: "start-ms"}[scene == "no-change"])
}
