package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pwb/altfiles"
	"pwb/roster"
	"pwb/syncer"
)

// breed is what some of the agents have in common: whatever decides their files.
type breed struct {
	name   string
	layout altfiles.Layout
	policy func(*altfiles.Policy)
	// passwd and group are lines of the nodes' own files; the nodes say so to
	// the server when tells is set.
	passwd, group string
	tells         bool
	// cautious nodes have a fuse that blows, and an administrator who then
	// accepts the change.
	cautious bool

	passwdFile, groupFile string
}

const ownGroups = "root:x:0:\nshadow:x:42:\n"

func breeds() []*breed {
	return []*breed{
		{name: "extrausers", layout: altfiles.LayoutExtrausers},
		{name: "altfiles", layout: altfiles.LayoutAltfiles},
		{name: "nsscache", layout: altfiles.LayoutNsscache, group: ownGroups},
		{name: "allow-groups", layout: altfiles.LayoutExtrausers, policy: func(p *altfiles.Policy) {
			p.AllowGroups, p.RenderGroups = []string{"keep", "team-1*"}, altfiles.RenderUsed
		}},
		{name: "homes", layout: altfiles.LayoutAltfiles, policy: func(p *altfiles.Policy) {
			p.HomePattern, p.ShellMap = "/home/%l/%u", []string{"/bin/zsh=/bin/bash", "*=/bin/sh"}
		}},
		{name: "ids", layout: altfiles.LayoutNsscache, policy: func(p *altfiles.Policy) { p.MinID, p.MaxID = 2002, 300_040 }},
		{name: "no-shadow", layout: altfiles.LayoutExtrausers, policy: func(p *altfiles.Policy) { p.Shadow = false }},
		{name: "deny", layout: altfiles.LayoutAltfiles, group: ownGroups, policy: func(p *altfiles.Policy) {
			p.DenyUsers, p.DenyGroups, p.ProtectNames = []string{"p01*"}, []string{"team-2*"}, []string{"p020.1"}
		}},
		{name: "own-people", layout: altfiles.LayoutExtrausers, tells: true,
			passwd: "p006.1:x:700001:700001::/home/p:/bin/sh\np021.1:x:700002:700002::/home/q:/bin/sh\n", group: ownGroups + "p006.1:x:700001:\nteam-3_1:x:700003:\n"},
		{name: "merge", layout: altfiles.LayoutAltfiles, group: ownGroups + "docker:x:990:\n", policy: func(p *altfiles.Policy) { p.MergeMembers = []string{"docker=keep"} }},
		{name: "cautious", layout: altfiles.LayoutExtrausers, cautious: true},
	}
}

// renderer is one for a node of the breed.
func (b *breed) renderer(dir, state string) (*altfiles.Renderer, error) {
	policy := altfiles.DefaultPolicy()
	if b.policy != nil {
		b.policy(&policy)
	}
	return altfiles.New(altfiles.Config{Dir: dir, StateDir: state, Layout: b.layout, PasswdFile: b.passwdFile, GroupFile: b.groupFile, Policy: policy})
}

func (b *breed) rules() altfiles.Policy {
	policy := altfiles.DefaultPolicy()
	if b.policy != nil {
		b.policy(&policy)
	}
	return policy
}

// file is the path of one of the three in a node's directory.
func (b *breed) file(dir, kind string) string {
	if b.layout == altfiles.LayoutNsscache {
		kind += ".cache"
	}
	return filepath.Join(dir, kind)
}

// churnAgent is a node. Its methods are called by the test's goroutine, but for
// observe and what the sink calls.
type churnAgent struct {
	*life
	*breed
	n          int
	daemon     bool
	dir, state string
	tokenFile  string
	link       *link

	cancel context.CancelFunc
	ended  chan struct{} // closed when what start began is over; nil when it never did
	client *syncer.Client

	news chan struct{} // has a value after an event
	// turns has a value when the agent may ask the server; nil: at any time.
	turns chan struct{}
	// trip is at which row of its next plan the agent is told to end; 0: it is not.
	trip atomic.Int64
	// stopped is the change that the fuse holds back, 0 when it does not.
	stopped atomic.Int64

	mu sync.Mutex // over the rest, and over damage being done
	// damage counts how often the files were damaged by hand; planned is what it
	// was when the latest plan was begun, whole when the files were right last.
	damage, planned, whole int
}

func (a *churnAgent) String() string {
	way := "cron"
	if a.daemon {
		way = "daemon"
	}
	return fmt.Sprintf("agent %d (%s, %s, %s)", a.n, a.breed.name, way, a.dir)
}

// churnSink lets an agent be ended in the middle of a plan or right after a
// commit, and says when plans begin.
type churnSink struct {
	*altfiles.Renderer
	a   *churnAgent
	end context.CancelFunc
}

type churnPlan struct {
	*altfiles.Plan
	end context.CancelFunc // nil: it goes on
}

func (s churnSink) Plan(rows iter.Seq2[roster.Row, error]) (syncer.Plan, error) {
	s.a.mu.Lock()
	s.a.planned = s.a.damage
	s.a.mu.Unlock()
	trip := s.a.trip.Swap(0)
	if trip == 0 {
		return s.Renderer.Plan(rows)
	}
	n := int64(0)
	p, err := s.Renderer.Plan(func(yield func(roster.Row, error) bool) {
		for row, err := range rows {
			if n++; n == trip {
				s.end()
			}
			if !yield(row, err) {
				return
			}
		}
	})
	if err != nil || n >= trip {
		return p, err
	}
	return churnPlan{p, s.end}, nil
}

func (p churnPlan) Commit(at roster.Position) error {
	err := p.Plan.Commit(at)
	p.end()
	return err
}

// churnSource lets most daemons ask when it is their turn, so that the work of
// the fleet goes with the operations and not with the time that they take.
type churnSource struct {
	*syncer.Client
	a *churnAgent
}

func (s churnSource) Changes(ctx context.Context, at roster.Position, wait time.Duration) (io.ReadCloser, error) {
	if s.a.turns != nil {
		select {
		case <-s.a.turns:
		case <-s.a.free:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return s.Client.Changes(ctx, at, wait)
}

// start begins a life of the agent: a daemon's, or one pass. accept is a change
// that an administrator lets through the fuse.
func (a *churnAgent) start(accept int64) {
	a.stop()
	ctx, cancel := context.WithCancel(a.ctx)
	a.cancel, a.ended = cancel, make(chan struct{})
	renderer, err := a.renderer(a.dir, a.state)
	if err == nil {
		a.client, err = syncer.NewClient(syncer.ClientConfig{
			Server: a.link.url(), TokenFile: a.tokenFile, Node: fmt.Sprint("node", a.n), Version: "churn",
			DialTimeout: 3 * time.Second, HeaderTimeout: 3 * time.Second, IdleTimeout: 3 * time.Second,
		})
	}
	fuse := syncer.Fuse{Count: 1 << 20, Percent: 100}
	if a.cautious {
		fuse = syncer.Fuse{Count: 3, Percent: 2}
	}
	var s *syncer.Syncer
	if err == nil {
		s, err = syncer.New(syncer.Config{
			StateDir: a.state, Fuse: fuse, AcceptChange: accept, Wait: 20 * time.Second, Local: a.local, Version: "churn",
			MinBackoff: 100 * time.Millisecond, MaxBackoff: 2 * time.Second,
			Observe: a.observe,
		}, churnSource{a.client, a}, churnSink{renderer, a, cancel})
	}
	if err != nil {
		a.fatal("%v: %v", a, err)
	}
	go func() {
		defer close(a.ended)
		defer cancel()
		if !a.daemon {
			_, _ = s.Once(ctx) // observe has heard
		} else if err := s.Run(ctx); err != nil {
			a.fail("%v ended: %v", a, err)
		}
	}()
}

// local is what the node's own files hold.
func (a *churnAgent) local() (ids []uint32, names []string, err error) {
	if !a.tells {
		return nil, nil, nil
	}
	return []uint32{700_001, 700_002, 700_003}, []string{"p006.1", "p021.1", "team-3_1"}, nil
}

// stop ends the agent and returns when it is over.
func (a *churnAgent) stop() {
	if a.ended == nil {
		return
	}
	a.cancel()
	<-a.ended
	a.client.Close()
	a.ended = nil
}

func (a *churnAgent) running() bool {
	if a.ended == nil {
		return false
	}
	select {
	case <-a.ended:
		return false
	default:
		return true
	}
}

// observe is syncer.Config.Observe.
func (a *churnAgent) observe(e syncer.Event) {
	a.count(e)
	// Not from the event: polls that find no change end no stop.
	if st, err := syncer.ReadState(a.state); err == nil && st.Stopped != nil {
		a.stopped.Store(st.Stopped.Position.Seq)
	} else {
		a.stopped.Store(0)
	}
	a.mu.Lock()
	if e.Err != nil {
		a.planned = -1
	} else if a.planned == a.damage {
		a.whole = a.damage
	}
	a.mu.Unlock()
	a.check()
	select {
	case a.news <- struct{}{}:
	default:
	}
}

// spoiled is how often the files were damaged, and whether they still are.
func (a *churnAgent) spoiled() (damage int, now bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.damage, a.whole != a.damage
}

// settled reports whether the files show the position, by the agent's own account.
func (a *churnAgent) settled(at roster.Position) bool {
	st, err := syncer.ReadState(a.state)
	if _, spoiled := a.spoiled(); err != nil || spoiled {
		return false
	}
	return st.Rendered != nil && *st.Rendered == at && st.LastError == "" && st.Stopped == nil
}

// spoil damages something of the node's, as hands and disks do. What is not
// there yet cannot be damaged.
func (a *churnAgent) spoil(what, kind int) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	path := a.file(a.dir, []string{"passwd", "group", "shadow"}[kind])
	data, err := os.ReadFile(path)
	if what < 5 && err != nil {
		return "nothing to damage"
	}
	if what < 5 {
		a.damage++
	}
	mirror := filepath.Join(a.state, "mirror")
	var did string
	switch what {
	case 0:
		did, err = "file deleted", os.Remove(path)
	case 1:
		did, err = "file truncated", os.Truncate(path, int64(len(data)/2))
	case 2:
		did, err = "line added", addTo(path, "intruder:x:1500:1500::/:/bin/sh\n")
	case 3:
		did, err = "mode changed", os.Chmod(path, 0o666)
	case 4:
		did, err = "file replaced", errors.Join(os.WriteFile(path+".edited", []byte(strings.ToUpper(string(data))), 0o644), os.Rename(path+".edited", path))
	case 5:
		did = "mirror cut"
		if info, e := os.Stat(mirror); e == nil {
			err = os.Truncate(mirror, info.Size()*2/3)
		}
	case 6:
		did = "mirror garbled"
		if data, e := os.ReadFile(mirror); e == nil && len(data) > 0 {
			data[len(data)*(kind+1)/4] ^= 4
			err = os.WriteFile(mirror, data, 0o600)
		}
	case 7:
		did, err = "mirror deleted", os.Remove(mirror)
	case 8:
		did, err = "state deleted", os.Remove(filepath.Join(a.state, "state.json"))
	case 9:
		did, err = "state garbled", addTo(filepath.Join(a.state, "state.json"), "}")
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		a.fatal("%v: %s: %v", a, did, err)
	}
	return did
}

// addTo appends to a file that is there.
func addTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// newAgent makes a node, with nothing on it.
func newAgent(l *life, b *breed, n int) (*churnAgent, error) {
	home := filepath.Join(l.dir, "nodes", fmt.Sprint(n))
	a := &churnAgent{life: l, breed: b, n: n, daemon: n%5 < 3, dir: filepath.Join(home, "files"), state: filepath.Join(home, "state"),
		tokenFile: filepath.Join(home, "token"), news: make(chan struct{}, 1)}
	if err := os.MkdirAll(a.dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(a.tokenFile, []byte(l.nodeToken), 0o600); err != nil {
		return nil, err
	}
	if a.daemon && n%100 != 0 {
		a.turns = make(chan struct{}, 2)
	}
	var err error
	a.link, err = newLink(l.server.addr)
	return a, err
}

// makeBreeds writes the breeds' own files.
func makeBreeds(dir string) ([]*breed, error) {
	all := breeds()
	var errs []error
	for _, b := range all {
		own := filepath.Join(dir, "breeds", b.name)
		b.passwdFile, b.groupFile = filepath.Join(own, "passwd"), filepath.Join(own, "group")
		group := b.group
		if group == "" {
			group = "root:x:0:\n"
		}
		errs = append(errs, os.MkdirAll(own, 0o755),
			os.WriteFile(b.passwdFile, []byte("root:x:0:0::/root:/bin/bash\n"+b.passwd), 0o644),
			os.WriteFile(b.groupFile, []byte(group), 0o644))
	}
	return slices.Clip(all), errors.Join(errs...)
}
