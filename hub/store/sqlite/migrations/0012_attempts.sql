-- What attempts left behind that failed and were tried again: as a result, of which a job has one, its last. An older hub does not
-- show them; what it sweeps takes them along.
CREATE TABLE attempts (
  campaign INTEGER NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
  idx INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  node TEXT NOT NULL,
  outcome TEXT NOT NULL,
  exit_code INTEGER NOT NULL,
  message TEXT NOT NULL,
  warnings TEXT NOT NULL,
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
  PRIMARY KEY (campaign, idx, attempt)
) STRICT;

CREATE TRIGGER attempts_account AFTER INSERT ON attempts WHEN NEW.stdout IS NOT NULL OR NEW.stderr IS NOT NULL BEGIN
  INSERT INTO blobs (digest, size_bytes, named, used_at)
  SELECT NEW.stdout, NEW.stdout_bytes, 1, NEW.stored_at WHERE NEW.stdout IS NOT NULL
  ON CONFLICT (digest) DO UPDATE SET named = named + 1;
  INSERT INTO blobs (digest, size_bytes, named, used_at)
  SELECT NEW.stderr, NEW.stderr_bytes, 1, NEW.stored_at WHERE NEW.stderr IS NOT NULL
  ON CONFLICT (digest) DO UPDATE SET named = named + 1;
END;
CREATE TRIGGER attempts_unname AFTER DELETE ON attempts WHEN OLD.stdout IS NOT NULL OR OLD.stderr IS NOT NULL BEGIN
  UPDATE blobs SET named = named - 1 WHERE digest = OLD.stdout;
  UPDATE blobs SET named = named - 1 WHERE digest = OLD.stderr;
END;
