package after

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"pwb/roster"
)

// maxUsers is the most bytes of logind's list of users.
const maxUsers = 16 << 20

// endSessions does what loginctl terminate-user does, by number alone: that looks
// up even a number, and fails for an account that is gone.
func (a *Actions) endSessions(ctx context.Context, who roster.Leaver) error {
	if err := roster.CheckNumber(who.UID); err != nil {
		return fmt.Errorf("sessions of %q are left alone: %w", who.Name, err)
	}
	if a.active == nil {
		var err error
		if a.active, err = a.users(ctx); err != nil {
			return fmt.Errorf("end the sessions of %q, uid %d: ask logind who is here: %w", who.Name, who.UID, err)
		}
	}
	if !a.active[who.UID] {
		return nil
	}
	err := a.logind(ctx, nil, "TerminateUser", "u", strconv.FormatUint(uint64(who.UID), 10))
	if err != nil {
		// They may have ended meanwhile, by themselves.
		if now, again := a.users(ctx); again != nil || now[who.UID] {
			return fmt.Errorf("end the sessions of %q, uid %d: %w", who.Name, who.UID, err)
		}
		return nil
	}
	a.cfg.Log.Info("ended the sessions of an account that may not log in any more", "name", who.Name, "uid", who.UID)
	return nil
}

// users are the numbers of those who have sessions or linger.
func (a *Actions) users(ctx context.Context) (map[uint32]bool, error) {
	var out bounded
	if err := a.logind(ctx, &out, "ListUsers"); err != nil {
		return nil, err
	}
	// a(uso) COUNT, and for each a number, a name and a path.
	f := strings.Fields(out.text.String())
	if len(f) < 2 || f[0] != "a(uso)" || f[1] != strconv.Itoa((len(f)-2)/3) || (len(f)-2)%3 != 0 {
		return nil, fmt.Errorf("the answer is no list of users: %.100q", out.text.String())
	}
	all := map[uint32]bool{}
	for i := 2; i < len(f); i += 3 {
		uid, err := strconv.ParseUint(f[i], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("the answer is no list of users: %w", err)
		}
		all[uint32(uid)] = true
	}
	return all, nil
}

// logind calls a method of org.freedesktop.login1(5).
func (a *Actions) logind(ctx context.Context, stdout *bounded, method string, args ...string) error {
	all := append([]string{"--system", "call", "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager", method}, args...)
	if stdout == nil {
		stdout = &bounded{}
	}
	if err := a.run(ctx, nil, stdout, a.cfg.Busctl, all...); err != nil {
		return fmt.Errorf("%s %s: %w", a.cfg.Busctl, method, err)
	}
	return nil
}

// bounded keeps what is written to it, up to a bound.
type bounded struct{ text strings.Builder }

func (b *bounded) Write(p []byte) (int, error) {
	if b.text.Len()+len(p) > maxUsers {
		return 0, fmt.Errorf("more than %d bytes of output", maxUsers)
	}
	return b.text.Write(p)
}
