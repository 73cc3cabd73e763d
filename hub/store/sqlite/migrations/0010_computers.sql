-- What volunteers do with their list of computers, what tells two copies of a client apart, and launches that take no further jobs.

-- The volunteer's own name for it; '' for that which the client says.
ALTER TABLE hosts ADD COLUMN title TEXT NOT NULL DEFAULT '';
-- Off the list until it calls again.
ALTER TABLE hosts ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
-- The same computer as that one.
ALTER TABLE hosts ADD COLUMN merged_into INTEGER REFERENCES hosts (id);
-- When the client that called last was started, by its own clock; 0: it did not say.
ALTER TABLE hosts ADD COLUMN client_started INTEGER NOT NULL DEFAULT 0;

-- Why its node takes no further jobs.
ALTER TABLE launches ADD COLUMN draining TEXT;
