-- Who a user is at an OpenID provider: the issuer and its sub. made says that the
-- registration of that person made the user.
CREATE TABLE identities (
	issuer  TEXT    NOT NULL,
	sub     TEXT    NOT NULL,
	subject TEXT    NOT NULL,
	made    INTEGER NOT NULL CHECK (made IN (0, 1)),
	bound   INTEGER NOT NULL, -- milliseconds since 1970
	PRIMARY KEY (issuer, sub)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX identities_subject ON identities (subject, issuer);

-- Digests of what may be used once, such as ID tokens, until they expire by
-- themselves (milliseconds since 1970).
CREATE TABLE used_once (
	digest  BLOB    PRIMARY KEY CHECK (length(digest) = 32),
	expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX used_once_expires ON used_once (expires);
