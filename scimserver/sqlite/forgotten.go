package sqlite

import (
	"database/sql"
	"errors"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

// forgotten returns the accounts that the backup does not know as the buried
// subjects that they become: accounts that have a row, and those that had one.
// The backup knows whom it has a row, a resource or a subject of; to own
// something in its ledger is not enough, since nothing would tell whose it is.
func (r *restorer) forgotten() (all []ledger.Subject, err error) {
	err = r.c.each(`WITH present (id, line) AS (
			SELECT substr(key, 3), line FROM roster WHERE key >= 'a/' AND key < 'a0' AND line IS NOT NULL
			UNION ALL
			SELECT id, NULL FROM subjects WHERE NOT EXISTS (SELECT 1 FROM roster WHERE key = 'a/' || id AND line IS NOT NULL)
		)
		SELECT id, line FROM present
		WHERE NOT EXISTS (SELECT 1 FROM backup.roster b WHERE b.key = 'a/' || present.id AND b.line IS NOT NULL)
		AND NOT EXISTS (SELECT 1 FROM backup.resources b WHERE b.id = present.id)
		AND NOT EXISTS (SELECT 1 FROM backup.subjects b WHERE b.id = present.id)`, nil, func(rows *sql.Rows) error {
		var id string
		var line []byte
		if err := rows.Scan(&id, &line); err != nil {
			return err
		}
		s, err := r.Subject(id)
		if err != nil {
			return err
		}
		if line != nil {
			if s.Account, err = accountOf(roster.AccountKey(id), line); err != nil {
				return err
			}
		}
		if s.Account != nil { // others are no accounts
			all = append(all, s)
		}
		return r.ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	for i, s := range all {
		r.done.Forgotten = append(r.done.Forgotten, s.Account.Name)
		if all[i], err = r.bury(s); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// forgottenGroups returns the groups that the backup does not know, and that are
// no account's own, as the subjects that they become.
func (r *restorer) forgottenGroups() (all []ledger.Subject, err error) {
	err = r.c.each(`SELECT key, line FROM roster p WHERE key >= 'g/' AND key < 'g0' AND line IS NOT NULL
		AND NOT EXISTS (SELECT 1 FROM roster WHERE key = 'a/' || substr(p.key, 3) AND line IS NOT NULL)
		AND NOT EXISTS (SELECT 1 FROM backup.roster b WHERE b.key = p.key AND b.line IS NOT NULL)
		AND NOT EXISTS (SELECT 1 FROM backup.resources b WHERE b.id = substr(p.key, 3))
		AND NOT EXISTS (SELECT 1 FROM backup.subjects b WHERE b.id = substr(p.key, 3))`, nil, func(rows *sql.Rows) error {
		var key string
		var line []byte
		if err := rows.Scan(&key, &line); err != nil {
			return err
		}
		row, err := roster.Change{Key: key, Line: line}.Row()
		if err != nil {
			return err
		}
		all = append(all, ledger.Subject{ID: row.Group.ID, State: ledger.Buried, Since: r.now, Readmit: true, Group: row.Group})
		return r.ctx.Err()
	})
	return all, err
}

// bury is the subject without a row, ready to be readmitted. A date on which the
// account was to end, and that it is held, go on for whoever comes back.
func (r *restorer) bury(s ledger.Subject) (ledger.Subject, error) {
	buried := ledger.Subject{
		ID: s.ID, State: ledger.Buried, Since: r.now,
		UserName: s.UserName, ExternalID: s.ExternalID, // those of one that had departed
		JoinedImported: s.JoinedImported, Held: s.Held, Account: s.Account, Limit: ledger.Earlier(s.End, s.Limit),
		// Who had left before may have been followed by somebody else.
		Readmit: s.Readmit || s.State == ledger.Present || s.State == ledger.Imported,
	}
	switch user, err := r.Resource(scimserver.KindUser, s.ID); {
	case err == nil:
		buried.UserName, buried.ExternalID = user.Name, user.ExternalID
	case !errors.Is(err, scimserver.ErrNotFound):
		return s, err
	}
	return buried, nil
}

// held returns the ids of the subjects that an administrator keeps locked.
func (r *restorer) held() (ids []string, err error) {
	err = r.Subjects(func(s ledger.Subject) error {
		if s.Held {
			ids = append(ids, s.ID)
		}
		return nil
	})
	return ids, err
}

func (r *restorer) hold(id string) error {
	s, err := r.Subject(id)
	if err != nil || s.Held {
		return err
	}
	s.Held = true
	return r.PutSubject(s)
}
