package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pwb/scimserver"
)

// auditEntry is an event as it is printed.
type auditEntry struct {
	Seq     int64           `json:"seq"`
	At      time.Time       `json:"at"`
	Actor   string          `json:"actor"`
	Action  string          `json:"action"`
	Subject string          `json:"subject,omitempty"`
	Name    string          `json:"name,omitempty"`
	UID     uint32          `json:"uid,omitempty"`
	GID     uint32          `json:"gid,omitempty"`
	Changes json.RawMessage `json:"changes,omitempty"`
}

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Print the audit log: what was done, by whom, and what it changed",
		Args:  takes(0, 0),
	}
	f := cmd.Flags()
	since := f.String("since", "", "only from this `time` on, or so long ago: 2026-01-31, 2026-01-31T23:59:59Z, 90m, 36h, 7d")
	until := f.String("until", "", "only before this `time`, or so long ago")
	who := f.String("user", "", "only what was done to this `user` or group")
	last := f.Int("last", 0, "only the newest `N` of them")
	return administer(cmd, needStore, func(ctx context.Context, j *job, _ []string) error {
		q := scimserver.EventQuery{Last: *last}
		if f.Changed("last") && *last < 1 {
			return fmt.Errorf("--last %d is none: give how many entries are wanted", *last)
		}
		var err error
		if q.Since, err = parseTimeOrAge("since", *since, time.Now()); err != nil {
			return err
		}
		if q.Until, err = parseTimeOrAge("until", *until, time.Now()); err != nil {
			return err
		}
		each := func(yield func(auditEntry) error) error {
			return j.operator.Audit(ctx, q, *who, func(e scimserver.Event) error {
				return yield(auditEntry{e.Seq, e.At.UTC(), e.Actor, e.Action, e.Subject, e.Name, e.UID, e.GID, e.Changes})
			})
		}
		return list(j.out, "nothing like that is in the audit log", []string{"TIME", "BY", "WHAT", "NAME", "UID", "GID", "CHANGES"}, each, func(e auditEntry) []string {
			ids := [2]string{}
			for i, n := range []uint32{e.UID, e.GID} {
				if n != 0 {
					ids[i] = number(n)
				}
			}
			return []string{timeText(&e.At), e.Actor, e.Action, e.Name, ids[0], ids[1], string(e.Changes)}
		})
	})
}

// parseTimeOrAge reads a time, or how long ago it was.
func parseTimeOrAge(flag, text string, now time.Time) (time.Time, error) {
	age := time.Duration(0)
	days, isDays := strings.CutSuffix(text, "d")
	if n, err := strconv.Atoi(days); isDays && err == nil && n >= 0 && n <= maxDays {
		return now.Add(-time.Duration(n) * day), nil
	}
	age, err := time.ParseDuration(text)
	if err == nil && age >= 0 {
		return now.Add(-age), nil
	}
	t, err := parseTime(flag, text)
	if err != nil {
		err = fmt.Errorf("%w, or as an age: 90m, 36h, 7d", err)
	}
	return t, err
}
