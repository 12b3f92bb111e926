package sqlite

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"pwb/roster"
	"pwb/scimserver/ledger"
)

// subjectDoc is what is stored of a subject beside its columns. Its fields are
// only ever added to: stores and backups hold them.
type subjectDoc struct {
	JoinedImported bool            `json:"joinedImported,omitempty"`
	WasImported    bool            `json:"wasImported,omitempty"`
	Limit          time.Time       `json:"limit,omitzero"`
	Group          *roster.Group   `json:"group,omitempty"` // without ID
	Primary        bool            `json:"primary,omitempty"`
	Claimed        bool            `json:"claimed,omitempty"`
	Held           bool            `json:"held,omitempty"`
	Readmit        bool            `json:"readmit,omitempty"`
	End            time.Time       `json:"end,omitzero"`
	Aliases        []ledger.Alias  `json:"aliases,omitempty"`
	Account        *roster.Account `json:"account,omitempty"` // without ID and Hash
}

const subjectColumns = `id, state, since, user_name, external_id, due, doc`

func scanSubject(scan func(...any) error) (s ledger.Subject, err error) {
	var since, due sql.NullInt64
	var text []byte
	if err := scan(&s.ID, &s.State, &since, &s.UserName, &s.ExternalID, &due, &text); err != nil {
		return s, err
	}
	var doc subjectDoc
	if err := json.Unmarshal(text, &doc); err != nil {
		return s, fmt.Errorf("what is stored of subject %s: %w", s.ID, err)
	}
	s.Since, s.Due = fromMilliOrNull(since), fromMilliOrNull(due)
	s.JoinedImported, s.Primary, s.WasImported, s.Limit = doc.JoinedImported, doc.Primary, doc.WasImported, doc.Limit
	s.Claimed, s.Held, s.Readmit, s.End, s.Aliases, s.Account = doc.Claimed, doc.Held, doc.Readmit, doc.End, doc.Aliases, doc.Account
	if s.Account != nil {
		s.Account.ID = s.ID
	}
	if s.Group = doc.Group; s.Group != nil {
		s.Group.ID = s.ID
	}
	return s, nil
}

func (v *view) Subject(id string) (ledger.Subject, error) {
	s, err := scanSubject(func(into ...any) error {
		return v.c.row(`SELECT `+subjectColumns+` FROM subjects WHERE id = ?`, []any{id}, into...)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return ledger.Subject{ID: id}, nil
	}
	return s, err
}

// Texts that the indexes on subjects are made for: a partial index is used when
// its condition stands in the statement.
const (
	departedSubjects = `SELECT ` + subjectColumns + ` FROM subjects WHERE state IN (2, 3) AND user_name = ? ORDER BY since DESC, id`
	dueSubjects      = `SELECT ` + subjectColumns + ` FROM subjects WHERE due IS NOT NULL AND due <= ? ORDER BY due, id LIMIT ?`
)

func (v *view) Subjects(yield func(ledger.Subject) error) error {
	return v.subjects(`SELECT `+subjectColumns+` FROM subjects ORDER BY id`, nil, yield)
}

func (v *view) Departed(userName string, yield func(ledger.Subject) error) error {
	if userName == "" {
		return nil // groups and accounts that no SCIM user had
	}
	return v.subjects(departedSubjects, []any{userName}, yield)
}

func (v *view) Due(now time.Time, limit int) (all []ledger.Subject, err error) {
	err = v.subjects(dueSubjects, []any{now.UnixMilli(), max(limit, 0)}, func(s ledger.Subject) error {
		all = append(all, s)
		return nil
	})
	return all, err
}

func (v *view) subjects(query string, args []any, yield func(ledger.Subject) error) error {
	return v.c.each(query, args, func(rows *sql.Rows) error {
		s, err := scanSubject(rows.Scan)
		if err != nil {
			return err
		}
		return yield(s)
	})
}

func (t *tx) PutSubject(s ledger.Subject) error {
	doc := subjectDoc{Group: s.Group, WasImported: s.WasImported, Limit: inMillis(s.Limit), JoinedImported: s.JoinedImported, Primary: s.Primary, Claimed: s.Claimed, Held: s.Held, Readmit: s.Readmit, End: inMillis(s.End)}
	for _, a := range s.Aliases {
		doc.Aliases = append(doc.Aliases, ledger.Alias{Name: a.Name, Until: inMillis(a.Until)})
	}
	if s.Account != nil {
		a := *s.Account
		a.Hash = "" // an account that is no more needs none
		doc.Account = &a
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("encode what is known of subject %s: %w", s.ID, err)
	}
	_, err = t.c.exec(`INSERT INTO subjects (`+subjectColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
		state = excluded.state, since = excluded.since, user_name = excluded.user_name, external_id = excluded.external_id, due = excluded.due, doc = excluded.doc`,
		s.ID, s.State, milliOrNull(s.Since), s.UserName, s.ExternalID, milliOrNull(s.Due), string(text))
	return err
}

// inMillis is the time as it comes back from a column.
func inMillis(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return fromMilli(t.UnixMilli())
}
