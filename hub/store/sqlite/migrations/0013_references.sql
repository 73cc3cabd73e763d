-- A result for each attempt, of which a job accepts one, and one table of what refers to a blob: columns, triggers and tables for each
-- kind of reference were one more with each kind.
-- breaking: an older hub looks for blobs in columns that are gone, and takes any result for the job's.

DROP TRIGGER campaigns_name_stagein;
DROP TRIGGER campaigns_unname_stagein;
DROP INDEX campaigns_of_stagein;
ALTER TABLE results RENAME TO results_before;
ALTER TABLE attempts RENAME TO attempts_before;

-- Inserted once. Wide (inline output), so a table with rowid.
CREATE TABLE results (
  campaign INTEGER NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
  idx INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  -- 1: the job's own result, with which it ended. 0: of another attempt, kept beside it.
  accepted INTEGER NOT NULL,
  node TEXT NOT NULL,
  outcome TEXT NOT NULL,
  exit_code INTEGER NOT NULL,
  message TEXT NOT NULL DEFAULT '',
  warnings TEXT NOT NULL DEFAULT '',
  stdout_inline BLOB,
  stdout_dropped_bytes INTEGER NOT NULL DEFAULT 0,
  stderr_inline BLOB,
  stderr_dropped_bytes INTEGER NOT NULL DEFAULT 0,
  run_ms INTEGER NOT NULL,
  cpu_ms INTEGER NOT NULL,
  peak_memory_bytes INTEGER NOT NULL,
  stored_at INTEGER NOT NULL,
  -- Of the job that ended with it; the last attempt may be a later one than the result's.
  verdict TEXT NOT NULL DEFAULT 'unchecked',
  last_attempt INTEGER NOT NULL DEFAULT 0,
  failures INTEGER NOT NULL DEFAULT 0,
  losses INTEGER NOT NULL DEFAULT 0,
  story TEXT NOT NULL DEFAULT '[]',
  PRIMARY KEY (campaign, idx, attempt)
) STRICT;

INSERT INTO results
SELECT campaign, idx, attempt, 1, node, outcome, exit_code, message, warnings,
       stdout_inline, stdout_dropped_bytes, stderr_inline, stderr_dropped_bytes,
       run_ms, cpu_ms, peak_memory_bytes, stored_at, verdict, last_attempt, failures, losses, story
FROM results_before;
INSERT INTO results (campaign, idx, attempt, accepted, node, outcome, exit_code, message, warnings,
                     stdout_inline, stdout_dropped_bytes, stderr_inline, stderr_dropped_bytes,
                     run_ms, cpu_ms, peak_memory_bytes, stored_at)
SELECT campaign, idx, attempt, 0, node, outcome, exit_code, message, warnings,
       stdout_inline, stdout_dropped_bytes, stderr_inline, stderr_dropped_bytes,
       run_ms, cpu_ms, peak_memory_bytes, stored_at
FROM attempts_before;

-- Who refers to which blob, and as what. A campaign's stagein and a result's stageout, stdout and stderr keep the blob; that an owner
-- uploaded it, or was given it back by a campaign, goes when the blob does.
CREATE TABLE blob_references (
  digest BLOB NOT NULL REFERENCES blobs (digest) ON DELETE CASCADE,
  role TEXT NOT NULL,
  -- Of uploaded, returned and stagein.
  owner TEXT,
  -- NULL: of no campaign.
  campaign INTEGER REFERENCES campaigns (id) ON DELETE CASCADE,
  -- NULL: of no result.
  idx INTEGER,
  attempt INTEGER,
  FOREIGN KEY (campaign, idx, attempt) REFERENCES results (campaign, idx, attempt) ON DELETE CASCADE
) STRICT;

-- A row that its trigger has missed would stop the hub at this point.
INSERT INTO blobs SELECT stagein, stagein_bytes, 0, submitted_at FROM campaigns WHERE stagein IS NOT NULL ON CONFLICT DO NOTHING;
INSERT INTO blobs SELECT stageout, stageout_bytes, 0, stored_at FROM results_before WHERE stageout IS NOT NULL ON CONFLICT DO NOTHING;
INSERT INTO blobs SELECT stdout, stdout_bytes, 0, stored_at FROM results_before WHERE stdout IS NOT NULL ON CONFLICT DO NOTHING;
INSERT INTO blobs SELECT stderr, stderr_bytes, 0, stored_at FROM results_before WHERE stderr IS NOT NULL ON CONFLICT DO NOTHING;
INSERT INTO blobs SELECT stdout, stdout_bytes, 0, stored_at FROM attempts_before WHERE stdout IS NOT NULL ON CONFLICT DO NOTHING;
INSERT INTO blobs SELECT stderr, stderr_bytes, 0, stored_at FROM attempts_before WHERE stderr IS NOT NULL ON CONFLICT DO NOTHING;

INSERT INTO blob_references SELECT stagein, 'stagein', owner, id, NULL, NULL FROM campaigns WHERE stagein IS NOT NULL;
INSERT INTO blob_references SELECT stageout, 'stageout', NULL, campaign, idx, attempt FROM results_before WHERE stageout IS NOT NULL;
INSERT INTO blob_references SELECT stdout, 'stdout', NULL, campaign, idx, attempt FROM results_before WHERE stdout IS NOT NULL;
INSERT INTO blob_references SELECT stderr, 'stderr', NULL, campaign, idx, attempt FROM results_before WHERE stderr IS NOT NULL;
INSERT INTO blob_references SELECT stdout, 'stdout', NULL, campaign, idx, attempt FROM attempts_before WHERE stdout IS NOT NULL;
INSERT INTO blob_references SELECT stderr, 'stderr', NULL, campaign, idx, attempt FROM attempts_before WHERE stderr IS NOT NULL;

-- What refers to this result, or to this campaign?
CREATE UNIQUE INDEX blob_references_of_result ON blob_references (campaign, idx, attempt, role);
-- Who has this blob as that? Gathering asks it once for each blob that an agent fetches.
CREATE INDEX blob_references_of_blob ON blob_references (digest, role, owner, campaign);

-- What an owner had was not said to be the one or the other: what a result of theirs names was returned, the rest uploaded.
INSERT INTO blob_references (digest, role, owner)
SELECT DISTINCT named.digest, 'returned', campaigns.owner
FROM (SELECT DISTINCT digest, campaign FROM blob_references WHERE idx IS NOT NULL) AS named
JOIN campaigns ON campaigns.id = named.campaign
JOIN blob_owners ON blob_owners.digest = named.digest AND blob_owners.owner = campaigns.owner;
INSERT INTO blob_references (digest, role, owner)
SELECT digest, 'uploaded', owner FROM blob_owners
WHERE NOT EXISTS (SELECT 1 FROM blob_references AS other
                  WHERE other.digest = blob_owners.digest AND other.role = 'returned' AND other.owner = blob_owners.owner)
   OR EXISTS (SELECT 1 FROM blob_references AS other
              WHERE other.digest = blob_owners.digest AND other.role = 'stagein' AND other.owner = blob_owners.owner);
CREATE UNIQUE INDEX blob_references_of_owner ON blob_references (owner, digest, role) WHERE campaign IS NULL;

UPDATE blobs SET named = (SELECT count(*) FROM blob_references WHERE blob_references.digest = blobs.digest AND campaign IS NOT NULL);
-- `named` counts the references that keep the blob, so that collecting garbage does not read history.
CREATE TRIGGER blob_references_named AFTER INSERT ON blob_references WHEN NEW.campaign IS NOT NULL BEGIN
  UPDATE blobs SET named = named + 1 WHERE digest = NEW.digest;
END;
CREATE TRIGGER blob_references_unnamed AFTER DELETE ON blob_references WHEN OLD.campaign IS NOT NULL BEGIN
  UPDATE blobs SET named = named - 1 WHERE digest = OLD.digest;
END;

DROP TABLE results_before;
DROP TABLE attempts_before;
DROP TABLE blob_owners;
ALTER TABLE campaigns DROP COLUMN stagein;
ALTER TABLE campaigns DROP COLUMN stagein_bytes;

-- A job accepts one.
CREATE UNIQUE INDEX results_accepted ON results (campaign, idx) WHERE accepted = 1;
-- "Show me the failed ones" in a campaign of millions that mostly finished.
CREATE INDEX results_bad ON results (campaign, outcome, idx) WHERE outcome <> 'finished' AND accepted = 1;

CREATE TRIGGER results_account AFTER INSERT ON results
  WHEN NEW.accepted = 1 AND (NEW.outcome <> 'finished' OR NEW.warnings <> '')
BEGIN
  INSERT INTO errors (campaign, outcome, exit_code, message, count, example_idx)
  SELECT NEW.campaign, NEW.outcome, NEW.exit_code, NEW.message, 1, NEW.idx WHERE NEW.outcome <> 'finished'
  ON CONFLICT (campaign, outcome, exit_code, message) DO UPDATE SET count = count + 1;
  INSERT INTO warnings (campaign, text, count, example_idx)
  SELECT NEW.campaign, NEW.warnings, 1, NEW.idx WHERE NEW.warnings <> ''
  ON CONFLICT (campaign, text) DO UPDATE SET count = count + 1;
END;
