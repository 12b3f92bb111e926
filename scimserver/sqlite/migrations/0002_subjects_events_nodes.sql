-- Two cursors, each with the start of the search that it belongs to. The column
-- cursor of the first version knew no start and is no longer read. restored is
-- when the store was last put back from a backup, in milliseconds since 1970;
-- margin is how far behind its start a search begins since then.
ALTER TABLE meta ADD COLUMN user_start  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN user_next   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN group_start INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN group_next  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN restored    INTEGER;
ALTER TABLE meta ADD COLUMN margin      INTEGER NOT NULL DEFAULT 0;

-- When the token was used last, in milliseconds since 1970, NULL for never.
ALTER TABLE tokens ADD COLUMN used INTEGER;

-- All that a subject owns.
CREATE INDEX ledger_ids_subject ON ledger_ids (subject);
CREATE INDEX ledger_names_subject ON ledger_names (subject);

-- What is remarkable about subjects. The states are 0 present, 1 imported,
-- 2 departed, 3 buried.
CREATE TABLE subjects (
	id          TEXT    PRIMARY KEY,
	state       INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3),
	since       INTEGER, -- milliseconds since 1970, NULL for none
	user_name   TEXT    NOT NULL,
	external_id TEXT    NOT NULL,
	due         INTEGER, -- milliseconds since 1970, NULL for never
	doc         TEXT    NOT NULL -- a JSON object of all else
) STRICT, WITHOUT ROWID;
CREATE INDEX subjects_departed ON subjects (user_name, since) WHERE state IN (2, 3);
CREATE INDEX subjects_due ON subjects (due) WHERE due IS NOT NULL;

-- The audit log. Nothing in it is ever changed or deleted.
CREATE TABLE events (
	seq     INTEGER PRIMARY KEY AUTOINCREMENT,
	at      INTEGER NOT NULL, -- milliseconds since 1970
	actor   TEXT    NOT NULL,
	action  TEXT    NOT NULL,
	subject TEXT,
	name    TEXT    NOT NULL,
	uid     INTEGER NOT NULL,
	gid     INTEGER NOT NULL,
	changes TEXT
) STRICT;
CREATE INDEX events_subject ON events (subject) WHERE subject IS NOT NULL;
CREATE INDEX events_at ON events (at);
CREATE TRIGGER events_stay BEFORE DELETE ON events
	BEGIN SELECT RAISE(ABORT, 'the audit log forgets nothing'); END;
CREATE TRIGGER events_fixed BEFORE UPDATE ON events
	BEGIN SELECT RAISE(ABORT, 'the audit log changes nothing'); END;

-- What the nodes said about themselves last: their own numbers and names.
CREATE TABLE nodes (
	name    TEXT    PRIMARY KEY,
	version TEXT    NOT NULL,
	seen    INTEGER NOT NULL -- milliseconds since 1970
) STRICT, WITHOUT ROWID;
CREATE TABLE node_ids (
	number INTEGER NOT NULL,
	node   TEXT    NOT NULL,
	PRIMARY KEY (number, node)
) STRICT, WITHOUT ROWID;
CREATE INDEX node_ids_node ON node_ids (node, number);
CREATE TABLE node_names (
	name TEXT NOT NULL,
	node TEXT NOT NULL,
	PRIMARY KEY (name, node)
) STRICT, WITHOUT ROWID;
CREATE INDEX node_names_node ON node_names (node, name);
