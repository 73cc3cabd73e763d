-- Volunteers, their computers, what was handed to each, and the ledger of credit. Words are those of hub/core/volunteers.ts.

CREATE TABLE volunteers (
  id INTEGER PRIMARY KEY,
  -- Lower case; NULL once forgotten.
  email TEXT UNIQUE,
  name TEXT NOT NULL,
  salt BLOB NOT NULL,
  password BLOB NOT NULL,
  key_hash BLOB NOT NULL,
  sealed_key BLOB NOT NULL,
  cross_id TEXT NOT NULL,
  session INTEGER NOT NULL,
  shown INTEGER NOT NULL,
  preferences TEXT,
  created_at INTEGER NOT NULL,
  forgotten_at INTEGER
) STRICT;
CREATE INDEX volunteers_by_key ON volunteers (key_hash) WHERE forgotten_at IS NULL;

CREATE TABLE hosts (
  id INTEGER PRIMARY KEY,
  volunteer INTEGER NOT NULL REFERENCES volunteers (id),
  cpid TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  name TEXT NOT NULL,
  -- JSON object of strings.
  facts TEXT NOT NULL,
  stopped INTEGER NOT NULL,
  barred INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  not_before INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  heard_at INTEGER NOT NULL,
  -- Sums of the ledger's lines by nodes of this host, kept by whoever writes a line.
  slot_ms INTEGER NOT NULL DEFAULT 0,
  results INTEGER NOT NULL DEFAULT 0,
  average REAL NOT NULL DEFAULT 0,
  average_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX hosts_of_volunteer ON hosts (volunteer, id);

CREATE TABLE launches (
  id INTEGER PRIMARY KEY,
  host INTEGER NOT NULL REFERENCES hosts (id),
  secret_name TEXT NOT NULL,
  plan_class TEXT NOT NULL,
  version_number INTEGER NOT NULL,
  enrolment TEXT NOT NULL,
  hub_url TEXT NOT NULL,
  stopping TEXT,
  ending TEXT,
  exit_status INTEGER,
  message TEXT NOT NULL,
  made_at INTEGER NOT NULL,
  deadline_at INTEGER NOT NULL,
  ended_at INTEGER,
  node TEXT,
  bytes_in INTEGER NOT NULL DEFAULT 0,
  bytes_out INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX launches_of_host ON launches (host, id);
CREATE INDEX launches_by_node ON launches (node) WHERE node IS NOT NULL;

ALTER TABLE enrolments ADD COLUMN launch INTEGER;

-- The ledger: lines are appended and never change. Each hash covers its line and the hash before (hub/store/chain.ts).
CREATE TABLE credit (
  campaign INTEGER NOT NULL,
  idx INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  account TEXT NOT NULL,
  node TEXT NOT NULL,
  slot_ms INTEGER NOT NULL,
  at INTEGER NOT NULL,
  sequence INTEGER NOT NULL UNIQUE,
  hash BLOB NOT NULL,
  PRIMARY KEY (campaign, idx, attempt, account)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER credit_never_changes BEFORE UPDATE ON credit BEGIN
  SELECT RAISE(ABORT, 'the ledger of credit is append-only');
END;
CREATE TRIGGER credit_never_goes BEFORE DELETE ON credit BEGIN
  SELECT RAISE(ABORT, 'the ledger of credit is append-only');
END;

-- Sums of the lines of each account, so that asking for one does not read history. The average fades from its time on.
CREATE TABLE credit_totals (
  account TEXT PRIMARY KEY,
  slot_ms INTEGER NOT NULL,
  results INTEGER NOT NULL,
  average REAL NOT NULL,
  average_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
