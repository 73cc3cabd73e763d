-- Live jobs change several times a second each, ended ones never again. So a batch's live jobs are one row of the journal, and a
-- job that ended with a result is one row of results; jobs holds what is neither: live jobs put away from the journal, and those
-- that ended without a result.
-- breaking: an older hub would not see live jobs that are only in the journal.

-- JSON of hub/store/sqlite/journal.ts, for each job that changed and lives. What the last row says of a job is how it stands.
CREATE TABLE journal (
  seq INTEGER PRIMARY KEY,
  jobs TEXT NOT NULL
) STRICT;

-- Of the job itself; the result's own attempt may be an earlier one than the last.
ALTER TABLE results ADD COLUMN verdict TEXT NOT NULL DEFAULT 'unchecked';
ALTER TABLE results ADD COLUMN last_attempt INTEGER NOT NULL DEFAULT 0;
ALTER TABLE results ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE results ADD COLUMN losses INTEGER NOT NULL DEFAULT 0;
ALTER TABLE results ADD COLUMN story TEXT NOT NULL DEFAULT '[]';
UPDATE results SET (verdict, last_attempt, failures, losses, story) =
  (SELECT verdict, attempt, failures, losses, story FROM jobs WHERE jobs.campaign = results.campaign AND jobs.idx = results.idx)
  WHERE EXISTS (SELECT 1 FROM jobs WHERE jobs.campaign = results.campaign AND jobs.idx = results.idx AND phase = 'ended');
DELETE FROM jobs WHERE phase = 'ended'
  AND EXISTS (SELECT 1 FROM results WHERE results.campaign = jobs.campaign AND results.idx = jobs.idx);
-- "Show me the failed ones" in a campaign of millions that mostly finished.
CREATE INDEX results_bad ON results (campaign, outcome, idx) WHERE outcome <> 'finished';
