-- One row: which life of the store this is, where the feed stands, and where
-- the search for the next free number begins.
CREATE TABLE meta (
	one     INTEGER PRIMARY KEY CHECK (one = 1),
	epoch   TEXT    NOT NULL,
	seq     INTEGER NOT NULL,
	sum     BLOB    NOT NULL CHECK (length(sum) = 32),
	-- Deltas can be told from this seq on; what was before is forgotten.
	horizon INTEGER NOT NULL DEFAULT 0,
	cursor  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE resources (
	num         INTEGER PRIMARY KEY,
	kind        INTEGER NOT NULL CHECK (kind IN (1, 2)),
	id          TEXT    NOT NULL UNIQUE,
	name        TEXT    NOT NULL,
	external_id TEXT,
	display     TEXT,
	version     INTEGER NOT NULL,
	created     INTEGER NOT NULL, -- milliseconds since 1970
	modified    INTEGER NOT NULL,
	doc         TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX resources_name ON resources (kind, name);
CREATE INDEX resources_kind ON resources (kind, num);
CREATE INDEX resources_external ON resources (kind, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX resources_display ON resources (kind, display) WHERE display IS NOT NULL;

CREATE TABLE members (
	grp INTEGER NOT NULL REFERENCES resources (num) ON DELETE CASCADE,
	usr INTEGER NOT NULL REFERENCES resources (num) ON DELETE CASCADE,
	PRIMARY KEY (grp, usr)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_usr ON members (usr, grp);

-- The roster: one row a key, with the number of its last change. A row that is
-- gone keeps its key without a line until the horizon passes it.
CREATE TABLE roster (
	key  TEXT    PRIMARY KEY,
	seq  INTEGER NOT NULL,
	line TEXT
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX roster_seq ON roster (seq);

-- What the sum was at the end of each commit.
CREATE TABLE positions (
	seq INTEGER PRIMARY KEY,
	sum BLOB    NOT NULL CHECK (length(sum) = 32)
) STRICT;

-- The ledger. Nothing is ever deleted from these two tables.
CREATE TABLE ledger_ids (
	number  INTEGER NOT NULL CHECK (number > 0),
	kind    TEXT    NOT NULL CHECK (kind IN ('uid', 'gid')),
	subject TEXT    NOT NULL,
	name    TEXT    NOT NULL,
	given   INTEGER NOT NULL,
	PRIMARY KEY (number, kind)
) STRICT, WITHOUT ROWID;
CREATE TABLE ledger_names (
	name    TEXT    PRIMARY KEY,
	subject TEXT    NOT NULL,
	given   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER ledger_ids_stay BEFORE DELETE ON ledger_ids
	BEGIN SELECT RAISE(ABORT, 'the ledger forgets nothing'); END;
CREATE TRIGGER ledger_ids_fixed BEFORE UPDATE OF number, kind, subject ON ledger_ids
	BEGIN SELECT RAISE(ABORT, 'the ledger changes nothing'); END;
CREATE TRIGGER ledger_names_stay BEFORE DELETE ON ledger_names
	BEGIN SELECT RAISE(ABORT, 'the ledger forgets nothing'); END;
CREATE TRIGGER ledger_names_fixed BEFORE UPDATE OF name, subject ON ledger_names
	BEGIN SELECT RAISE(ABORT, 'the ledger changes nothing'); END;

CREATE TABLE tokens (
	id      TEXT    PRIMARY KEY,
	name    TEXT    NOT NULL UNIQUE,
	scope   TEXT    NOT NULL,
	hash    BLOB    NOT NULL CHECK (length(hash) = 32),
	created INTEGER NOT NULL,
	expires INTEGER -- milliseconds since 1970, NULL for never
) STRICT;
