-- The memberships of the roster by account, which their keys, m/GROUP/ACCOUNT, have
-- last: which groups somebody is in.
CREATE INDEX roster_account ON roster (substr(key, instr(substr(key, 3), '/') + 3))
	WHERE key > 'm/' AND key < 'm0' AND line IS NOT NULL;
