-- How many nodes a token of scope enroll may still enrol; 0 for other tokens.
ALTER TABLE tokens ADD COLUMN uses INTEGER NOT NULL DEFAULT 0;
