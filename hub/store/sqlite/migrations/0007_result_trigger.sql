-- One trigger on results where there were four: for a result that finished and left no blob, which is nearly every one, SQLite
-- asks once whether there is anything to do.

DROP TRIGGER results_count_errors;
DROP TRIGGER results_name_stageout;
DROP TRIGGER results_name_stdout;
DROP TRIGGER results_name_stderr;

CREATE TRIGGER results_account AFTER INSERT ON results
  WHEN NEW.outcome <> 'finished' OR NEW.stageout IS NOT NULL OR NEW.stdout IS NOT NULL OR NEW.stderr IS NOT NULL
BEGIN
  INSERT INTO errors (campaign, outcome, exit_code, message, count, example_idx)
  SELECT NEW.campaign, NEW.outcome, NEW.exit_code, NEW.message, 1, NEW.idx WHERE NEW.outcome <> 'finished'
  ON CONFLICT (campaign, outcome, exit_code, message) DO UPDATE SET count = count + 1;
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
