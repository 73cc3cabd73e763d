-- Rules of campaigns, jobs with more than one attempt under way, and what owners have used.
-- breaking: an older hub would offer jobs that are held or wait for others.

-- hub/core/model.ts Rules as a JSON object; '{}' is a campaign from before there were any.
ALTER TABLE campaigns ADD COLUMN rules TEXT NOT NULL DEFAULT '{}';
ALTER TABLE progress ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
-- JSON array of [campaign, success]: what it still waits for.
ALTER TABLE progress ADD COLUMN waits_for TEXT NOT NULL DEFAULT '[]';
-- JSON array of [attempt, node, phase, shape]: the attempts under way.
ALTER TABLE jobs ADD COLUMN tries TEXT NOT NULL DEFAULT '[]';
UPDATE jobs SET tries = json_array(json_array(attempt, node, phase, 0))
  WHERE phase IN ('offered', 'staging', 'running', 'returning');

-- Core-seconds, decayed as of a moment: whose turn it is.
CREATE TABLE usage (
  owner TEXT PRIMARY KEY,
  core_seconds REAL NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
