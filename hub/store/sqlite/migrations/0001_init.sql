-- Everything the hub knows that outlives it. STRICT, so that a wrong type is an error here and not a surprise later.
-- Digests are the 32 bytes of a SHA-256. Times are wall time in ms since 1970. Words are those of hub/core/model.ts.

CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What submit gave, never changed: the specification stays outside the row that every tick rewrites.
CREATE TABLE campaigns (
  id INTEGER PRIMARY KEY,
  owner TEXT NOT NULL,
  key TEXT NOT NULL,
  spec_digest BLOB NOT NULL,
  name TEXT NOT NULL,
  spec BLOB NOT NULL,
  stagein BLOB,
  stagein_bytes INTEGER,
  slots INTEGER NOT NULL,
  memory_bytes INTEGER NOT NULL,
  disk_bytes INTEGER NOT NULL,
  walltime_ms INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  total INTEGER NOT NULL,
  has_parameters INTEGER NOT NULL,
  submitted_at INTEGER NOT NULL,
  UNIQUE (owner, key)
) STRICT;
CREATE INDEX campaigns_of_owner ON campaigns (owner, id);

-- The part of a campaign that changes: small, one row each.
CREATE TABLE progress (
  campaign INTEGER PRIMARY KEY REFERENCES campaigns (id) ON DELETE CASCADE,
  cursor INTEGER NOT NULL,
  -- Counts of hub/core/model.ts as a JSON object.
  counts TEXT NOT NULL,
  ended_at INTEGER
) STRICT;
CREATE INDEX progress_live ON progress (campaign) WHERE ended_at IS NULL;

-- Lines for jobs first .. first + count - 1 as a JSON array of strings: a page is read and kept as one.
CREATE TABLE parameters (
  campaign INTEGER NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
  first INTEGER NOT NULL,
  count INTEGER NOT NULL,
  lines TEXT NOT NULL,
  PRIMARY KEY (campaign, first)
) STRICT;

-- Latest state of each job to which something has happened. Untouched jobs have no row.
CREATE TABLE jobs (
  campaign INTEGER NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
  idx INTEGER NOT NULL,
  phase TEXT NOT NULL,
  outcome TEXT,
  verdict TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  node TEXT,
  failures INTEGER NOT NULL,
  losses INTEGER NOT NULL,
  -- JSON array of [at, event, phase, attempt, node].
  story TEXT NOT NULL,
  PRIMARY KEY (campaign, idx)
) STRICT, WITHOUT ROWID;
-- What a starting hub loads; its size is that of the live work, not of history.
CREATE INDEX jobs_live ON jobs (campaign, idx) WHERE phase <> 'ended';
-- "Show me the failed ones" in a campaign of millions that mostly finished.
CREATE INDEX jobs_ended ON jobs (campaign, outcome, idx) WHERE outcome IS NOT NULL;

-- Jobs that ended as cancelled before anything happened to them. Ranges of a campaign never overlap.
CREATE TABLE cancelled (
  campaign INTEGER NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
  first INTEGER NOT NULL,
  count INTEGER NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (campaign, first)
) STRICT, WITHOUT ROWID;

-- Inserted once and never changed. Wide (inline output), so a table with rowid.
CREATE TABLE results (
  campaign INTEGER NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
  idx INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  node TEXT NOT NULL,
  outcome TEXT NOT NULL,
  exit_code INTEGER NOT NULL,
  message TEXT NOT NULL,
  stageout BLOB,
  stageout_bytes INTEGER,
  stdout_inline BLOB,
  stdout BLOB,
  stdout_bytes INTEGER,
  stdout_dropped_bytes INTEGER NOT NULL,
  stderr_inline BLOB,
  stderr BLOB,
  stderr_bytes INTEGER,
  stderr_dropped_bytes INTEGER NOT NULL,
  run_ms INTEGER NOT NULL,
  cpu_ms INTEGER NOT NULL,
  peak_memory_bytes INTEGER NOT NULL,
  stored_at INTEGER NOT NULL,
  PRIMARY KEY (campaign, idx)
) STRICT;

-- Distinct errors of a campaign, counted as results come in, so that asking does not read a million results.
CREATE TABLE errors (
  campaign INTEGER NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
  outcome TEXT NOT NULL,
  exit_code INTEGER NOT NULL,
  message TEXT NOT NULL,
  count INTEGER NOT NULL,
  example_idx INTEGER NOT NULL,
  PRIMARY KEY (campaign, outcome, exit_code, message)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER results_count_errors AFTER INSERT ON results WHEN NEW.outcome <> 'finished' BEGIN
  INSERT INTO errors (campaign, outcome, exit_code, message, count, example_idx)
  VALUES (NEW.campaign, NEW.outcome, NEW.exit_code, NEW.message, 1, NEW.idx)
  ON CONFLICT (campaign, outcome, exit_code, message) DO UPDATE SET count = count + 1;
END;

CREATE TABLE nodes (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  name TEXT NOT NULL,
  public_key BLOB NOT NULL,
  agent_version TEXT NOT NULL,
  boot_id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  slots INTEGER NOT NULL,
  memory_bytes INTEGER NOT NULL,
  disk_bytes INTEGER NOT NULL,
  -- JSON object of strings.
  properties TEXT NOT NULL,
  drained INTEGER NOT NULL,
  revoked INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Blobs that are whole and on disk. `named` counts the campaigns and results that name it, kept by the triggers
-- below, so that collecting garbage does not read history. Naming a blob makes its row if the collector has just
-- taken it: whoever names one has asked the blob store for it, which keeps the file.
CREATE TABLE blobs (
  digest BLOB PRIMARY KEY,
  size_bytes INTEGER NOT NULL,
  named INTEGER NOT NULL,
  used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX blobs_unnamed ON blobs (used_at) WHERE named = 0;

CREATE TABLE blob_owners (
  digest BLOB NOT NULL REFERENCES blobs (digest) ON DELETE CASCADE,
  owner TEXT NOT NULL,
  PRIMARY KEY (digest, owner)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER campaigns_name_stagein AFTER INSERT ON campaigns WHEN NEW.stagein IS NOT NULL BEGIN
  INSERT INTO blobs (digest, size_bytes, named, used_at) VALUES (NEW.stagein, NEW.stagein_bytes, 1, NEW.submitted_at)
  ON CONFLICT (digest) DO UPDATE SET named = named + 1;
END;
CREATE TRIGGER results_name_stageout AFTER INSERT ON results WHEN NEW.stageout IS NOT NULL BEGIN
  INSERT INTO blobs (digest, size_bytes, named, used_at) VALUES (NEW.stageout, NEW.stageout_bytes, 1, NEW.stored_at)
  ON CONFLICT (digest) DO UPDATE SET named = named + 1;
END;
CREATE TRIGGER results_name_stdout AFTER INSERT ON results WHEN NEW.stdout IS NOT NULL BEGIN
  INSERT INTO blobs (digest, size_bytes, named, used_at) VALUES (NEW.stdout, NEW.stdout_bytes, 1, NEW.stored_at)
  ON CONFLICT (digest) DO UPDATE SET named = named + 1;
END;
CREATE TRIGGER results_name_stderr AFTER INSERT ON results WHEN NEW.stderr IS NOT NULL BEGIN
  INSERT INTO blobs (digest, size_bytes, named, used_at) VALUES (NEW.stderr, NEW.stderr_bytes, 1, NEW.stored_at)
  ON CONFLICT (digest) DO UPDATE SET named = named + 1;
END;

CREATE TABLE tokens (
  id TEXT PRIMARY KEY,
  hash BLOB NOT NULL,
  principal TEXT NOT NULL,
  -- JSON array of scope names.
  scopes TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER,
  last_used_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE enrolments (
  id TEXT PRIMARY KEY,
  hash BLOB NOT NULL,
  account TEXT NOT NULL,
  uses_left INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
