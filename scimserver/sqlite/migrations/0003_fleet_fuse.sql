-- What the agents said with their requests, last at sighted: where the node's
-- files stand (NULL for unknown). And of their last report how the last pass ended.
ALTER TABLE nodes ADD COLUMN sighted     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN epoch       TEXT;
ALTER TABLE nodes ADD COLUMN position    INTEGER;
ALTER TABLE nodes ADD COLUMN quarantined INTEGER NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN result      TEXT    NOT NULL DEFAULT '';

-- Where the feed stood with the event, NULL for events of older versions; and
-- whom a provider took access from: 1 locked, 2 deleted, NULL neither.
ALTER TABLE events ADD COLUMN epoch    TEXT;
ALTER TABLE events ADD COLUMN position INTEGER;
ALTER TABLE events ADD COLUMN loss     INTEGER;
CREATE INDEX events_loss ON events (at, subject, loss) WHERE loss IS NOT NULL;

-- Until when an administrator has released the fuse, in milliseconds since
-- 1970, NULL for never.
ALTER TABLE meta ADD COLUMN fuse_released INTEGER;
