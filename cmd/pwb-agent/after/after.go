// Package after does on a node what follows when its accounts changed: nscd(8)
// forgets what it knew, sessions of those who may not log in any more are ended,
// and the administrator's hooks are called.
package after

import (
	"context"
	"log/slog"
	"math"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"pwb/roster"
)

// Config says what follows, and how.
type Config struct {
	// HooksDir holds the hooks; without it, or when it is empty, there are none.
	HooksDir string
	// Timeout is how long a hook, or another program, may take.
	Timeout time.Duration
	// EndSessions ends sessions, with the program Busctl: busctl(1).
	EndSessions bool
	Busctl      string
	// NscdSocket is where nscd listens, if it runs; empty for nowhere.
	NscdSocket string
	// Log takes what was done to people, and what is skipped.
	Log *slog.Logger
}

// Actions are a syncer.After. One call is to be made at a time.
type Actions struct {
	cfg Config
	// warned are the warnings that were given: each is given once.
	warned map[string]bool
	// Of this round: hooks that were too slow, and who has sessions, nil when
	// unknown.
	slow   map[string]bool
	active map[uint32]bool
}

// New makes Actions. What there is to call is seen at each round.
func New(cfg Config) *Actions {
	// Files that this process was started with are none of a hook's; those that it
	// opens itself are not handed on anyway. Linux before 5.11 cannot do that.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	return &Actions{cfg: cfg, warned: map[string]bool{}, slow: map[string]bool{}}
}

// Refresh begins a round: nscd forgets all accounts and groups.
func (a *Actions) Refresh(ctx context.Context) error {
	a.slow, a.active = map[string]bool{}, nil
	return a.invalidate(ctx)
}

// Evict ends the sessions of an account, if that is wanted and it has any.
func (a *Actions) Evict(ctx context.Context, who roster.Leaver) error {
	if !a.cfg.EndSessions {
		return nil
	}
	return a.endSessions(ctx, who)
}

// TellChange calls each hook with the argument change.
func (a *Actions) TellChange(ctx context.Context, pos roster.Position) error {
	return a.callHooks(ctx, event("change", pos), "change")
}

// TellLock calls each hook with the arguments lock and the name.
func (a *Actions) TellLock(ctx context.Context, pos roster.Position, who roster.Leaver) error {
	env := append(event("lock", pos), "PWB_USER="+who.Name, "PWB_UID="+strconv.FormatUint(uint64(who.UID), 10))
	return a.callHooks(ctx, env, "lock", who.Name)
}

// event is what every hook finds in its environment.
func event(name string, pos roster.Position) []string {
	return []string{"PWB_EVENT=" + name, "PWB_EPOCH=" + pos.Epoch, "PWB_SEQ=" + strconv.FormatInt(pos.Seq, 10)}
}

// warnOnce logs something that stays as it is until somebody mends it.
func (a *Actions) warnOnce(what, path, reason string) {
	if key := path + "\x00" + reason; !a.warned[key] {
		a.warned[key] = true
		a.cfg.Log.Warn(what, "path", path, "reason", reason)
	}
}
