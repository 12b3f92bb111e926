package sqlite

import (
	"database/sql"
	"errors"
	"fmt"

	"pwb/scimserver"
)

func (v *view) Nodes() (all []scimserver.Node, err error) {
	at := map[string]int{} // in all
	err = v.c.each(`SELECT name, version, seen, quarantined, result FROM nodes ORDER BY name`, nil, func(rows *sql.Rows) error {
		var n scimserver.Node
		var seen int64
		err := rows.Scan(&n.Name, &n.Version, &seen, &n.Quarantined, &n.Result)
		n.Seen = fromMilli(seen)
		at[n.Name] = len(all)
		all = append(all, n)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = v.c.each(`SELECT node, number FROM node_ids ORDER BY node, number`, nil, func(rows *sql.Rows) error {
		var node string
		var number uint32
		err := rows.Scan(&node, &number)
		if i, ok := at[node]; ok {
			all[i].IDs = append(all[i].IDs, number)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = v.c.each(`SELECT node, name FROM node_names ORDER BY node, name`, nil, func(rows *sql.Rows) error {
		var node, name string
		err := rows.Scan(&node, &name)
		if i, ok := at[node]; ok {
			all[i].Names = append(all[i].Names, name)
		}
		return err
	})
	return all, err
}

func (v *view) Sightings(yield func(scimserver.Sighting) error) error {
	return v.c.each(`SELECT name, version, seen, epoch, position, quarantined, result FROM nodes ORDER BY name`, nil, func(rows *sql.Rows) error {
		var s scimserver.Sighting
		var seen int64
		var epoch sql.NullString
		var position sql.NullInt64
		if err := rows.Scan(&s.Name, &s.Version, &seen, &epoch, &position, &s.Quarantined, &s.Result); err != nil {
			return err
		}
		s.Seen, s.Epoch, s.Position = fromMilli(seen), epoch.String, position.Int64
		return yield(s)
	})
}

func (t *tx) SeeNode(s scimserver.Sighting) error {
	var epoch, position any
	if s.Epoch != "" {
		epoch, position = s.Epoch, s.Position
	}
	_, err := t.c.exec(`INSERT INTO nodes (name, version, seen, sighted, epoch, position) VALUES (?1, ?2, ?3, ?3, ?4, ?5)
		ON CONFLICT (name) DO UPDATE SET version = excluded.version, seen = max(seen, excluded.seen), sighted = excluded.sighted,
			epoch = excluded.epoch, position = excluded.position
		WHERE excluded.sighted >= nodes.sighted`, s.Name, s.Version, s.Seen.UnixMilli(), epoch, position)
	return err
}

func (t *tx) DeleteNode(name string) error {
	for _, text := range []string{`DELETE FROM node_ids WHERE node = ?`, `DELETE FROM node_names WHERE node = ?`} {
		if _, err := t.c.exec(text, name); err != nil {
			return err
		}
	}
	n, err := t.c.exec(`DELETE FROM nodes WHERE name = ?`, name)
	return oneRow(n, err)
}

func (v *view) NodeWithID(number uint32) (string, error) {
	return v.node(`SELECT node FROM node_ids WHERE number = ? ORDER BY node LIMIT 1`, number)
}

func (v *view) NodeWithName(name string) (string, error) {
	return v.node(`SELECT node FROM node_names WHERE name = ? ORDER BY node LIMIT 1`, name)
}

func (v *view) node(query string, key any) (node string, err error) {
	err = v.c.row(query, []any{key}, &node)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return node, err
}

// PutNode writes what differs from what the node said before: nodes report
// often and change rarely.
func (t *tx) PutNode(n scimserver.Node) error {
	_, err := t.c.exec(`INSERT INTO nodes (name, version, seen, quarantined, result) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET version = excluded.version, seen = excluded.seen, quarantined = excluded.quarantined, result = excluded.result`,
		n.Name, n.Version, n.Seen.UnixMilli(), n.Quarantined, n.Result)
	if err != nil {
		return err
	}
	err = putDifference(t.c, n.Name, n.IDs,
		`SELECT number FROM node_ids WHERE node = ?`,
		`INSERT INTO node_ids (node, number) VALUES (?, ?)`,
		`DELETE FROM node_ids WHERE node = ? AND number = ?`)
	if err != nil {
		return fmt.Errorf("the numbers of node %s: %w", n.Name, err)
	}
	err = putDifference(t.c, n.Name, n.Names,
		`SELECT name FROM node_names WHERE node = ?`,
		`INSERT INTO node_names (node, name) VALUES (?, ?)`,
		`DELETE FROM node_names WHERE node = ? AND name = ?`)
	if err != nil {
		return fmt.Errorf("the names of node %s: %w", n.Name, err)
	}
	return nil
}

// putDifference makes the values of a node those that are wanted.
func putDifference[T comparable](c *conn, node string, wanted []T, read, insert, remove string) error {
	missing := make(map[T]bool, len(wanted))
	for _, value := range wanted {
		missing[value] = true
	}
	var surplus []T
	err := c.each(read, []any{node}, func(rows *sql.Rows) error {
		var value T
		err := rows.Scan(&value)
		if missing[value] {
			delete(missing, value)
		} else {
			surplus = append(surplus, value)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, value := range surplus {
		if _, err := c.exec(remove, node, value); err != nil {
			return err
		}
	}
	for _, value := range wanted {
		if !missing[value] {
			continue
		}
		delete(missing, value)
		if _, err := c.exec(insert, node, value); err != nil {
			return err
		}
	}
	return nil
}
