// Package answer is what the NSS module meets of a resident agent, below its run
// directory: the state file, by which the module knows whether what it does not find
// is not there, and the socket on which it asks when it does not know.
package answer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"pwb/roster"
)

// Lookup finds what the rendered files show. It reports false for what they do not.
type Lookup interface {
	Passwd(name string) (roster.Passwd, bool, error)
	PasswdByUID(uid uint32) (roster.Passwd, bool, error)
	Group(name string) (roster.GroupLine, bool, error)
	GroupByGID(gid uint32) (roster.GroupLine, bool, error)
	// Groups are the gids of the groups that an account is a member of, without
	// its primary one, in the order of the group file.
	Groups(name string) ([]uint32, bool, error)
	Shadow(name string) (roster.Shadow, bool, error)
}

// Config says what answers rest on. All but Log is needed.
type Config struct {
	// Dir is the run directory. It is made with mode 0755 if it is not there, and
	// must belong to root, or this user, alone.
	Dir string
	// Lookup opens what the files show at the moment; close is called after use.
	Lookup func() (l Lookup, close func() error, err error)
	// Refresh has the agent make a pass, for which it waits: syncer.Refresh. Settled
	// reports of an error of it that the server was asked and the files stay as they
	// are all the same.
	Refresh func(context.Context) error
	Settled func(error) bool
	// Wait is how long the agent waits at the server at a time.
	Wait time.Duration
	// Index is the lookup index whose generation the state file has.
	Index string
	Log   *slog.Logger
}

// The names in the run directory.
const (
	StateName  = "state"
	SocketName = "agent.sock"
)

// Desk answers until it is closed.
type Desk struct {
	cfg    Config
	log    *slog.Logger
	state  state
	socket *socket
	all    sync.WaitGroup
	ending context.Context
	end    context.CancelFunc
}

// Open makes the run directory and answers. It fails when that cannot be used, or
// another agent answers there.
func Open(cfg Config) (*Desk, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := makeDir(cfg.Dir); err != nil {
		return nil, err
	}
	d := &Desk{cfg: cfg, log: cfg.Log}
	d.state = state{path: filepath.Join(cfg.Dir, StateName), index: cfg.Index, wait: cfg.Wait, log: cfg.Log}
	listener, err := listen(filepath.Join(cfg.Dir, SocketName))
	if err != nil {
		return nil, err
	}
	d.ending, d.end = context.WithCancel(context.Background())
	d.socket = newSocket(listener, &cfg)
	d.all.Go(func() { d.socket.serve(d.ending) })
	d.all.Go(func() { d.state.keep(d.ending) })
	return d, nil
}

// Heard is called after each attempt to reach the server: whether it answered, and
// whether the files then showed what it has.
func (d *Desk) Heard(reached, current bool) { d.state.heard(reached, current) }

// Waits is for syncer.Config.Waits.
func (d *Desk) Waits(does bool) { d.state.waits(does) }

// Close takes state file and socket away, and ends the answers under way.
func (d *Desk) Close() {
	d.state.remove() // nobody is to believe it from now on
	d.end()
	d.socket.listener.Close() // which removes the socket, too
	d.all.Wait()
	d.state.remove()
}

// makeDir makes the run directory, or fails for one that others may write to.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		err = os.Chmod(dir, 0o755) // whatever the umask is
	} else if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	switch {
	case !fi.IsDir():
		return fmt.Errorf("run directory: %s is not a directory; move it away", dir)
	case !ok || st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("run directory: %s belongs to uid %d; it must belong to root, or to uid %d, which runs this", dir, st.Uid, os.Geteuid())
	case fi.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("run directory: %s has mode %04o, so that others may write to it; run chmod 0755 %s", dir, fi.Mode().Perm(), dir)
	}
	return nil
}
