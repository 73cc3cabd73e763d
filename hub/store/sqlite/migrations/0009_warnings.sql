-- What a result's owner should know although it is well, a line each, and the distinct ones of a campaign, counted as errors are.

ALTER TABLE results ADD COLUMN warnings TEXT NOT NULL DEFAULT '';

CREATE TABLE warnings (
  campaign INTEGER NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
  text TEXT NOT NULL,
  count INTEGER NOT NULL,
  example_idx INTEGER NOT NULL,
  PRIMARY KEY (campaign, text)
) STRICT, WITHOUT ROWID;

DROP TRIGGER results_account;

CREATE TRIGGER results_account AFTER INSERT ON results
  WHEN NEW.outcome <> 'finished' OR NEW.warnings <> ''
    OR NEW.stageout IS NOT NULL OR NEW.stdout IS NOT NULL OR NEW.stderr IS NOT NULL
BEGIN
  INSERT INTO errors (campaign, outcome, exit_code, message, count, example_idx)
  SELECT NEW.campaign, NEW.outcome, NEW.exit_code, NEW.message, 1, NEW.idx WHERE NEW.outcome <> 'finished'
  ON CONFLICT (campaign, outcome, exit_code, message) DO UPDATE SET count = count + 1;
  INSERT INTO warnings (campaign, text, count, example_idx)
  SELECT NEW.campaign, NEW.warnings, 1, NEW.idx WHERE NEW.warnings <> ''
  ON CONFLICT (campaign, text) DO UPDATE SET count = count + 1;
  INSERT INTO blobs (digest, size_bytes, named, used_at)
  SELECT NEW.stageout, NEW.stageout_bytes, 1, NEW.stored_at WHERE NEW.stageout IS NOT NULL
  ON CONFLICT (digest) DO UPDATE SET named = named + 1;
  INSERT INTO blobs (digest, size_bytes, named, used_at)
  SELECT NEW.stdout, NEW.stdout_bytes, 1, NEW.stored_at WHERE NEW.stdout IS NOT NULL
  ON CONFLICT (digest) DO UPDATE SET named = named + 1;
  INSERT INTO blobs (digest, size_bytes, named, used_at)
  SELECT NEW.stderr, NEW.stderr_bytes, 1, NEW.stored_at WHERE NEW.stderr IS NOT NULL
  ON CONFLICT (digest) DO UPDATE SET named = named + 1;
END;
