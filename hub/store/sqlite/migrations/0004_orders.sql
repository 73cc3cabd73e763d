-- Projects and shares, what campaigns took and gave, notices, nodes' habits, and campaigns that are forgotten.
-- breaking: an older hub would place best effort like any other job, begin reservations early, and show what is forgotten.

ALTER TABLE campaigns ADD COLUMN project TEXT NOT NULL DEFAULT '';
-- Whose stagein is this? Asked when somebody looks through what they have on the hub.
CREATE INDEX campaigns_of_stagein ON campaigns (stagein, owner, id) WHERE stagein IS NOT NULL;

-- hub/core/model.ts Totals as a JSON object; a JSON array of the occasions that were told of.
ALTER TABLE progress ADD COLUMN totals TEXT NOT NULL DEFAULT '{}';
ALTER TABLE progress ADD COLUMN told TEXT NOT NULL DEFAULT '[]';
-- Gone for everybody since then; its rows are swept by and by.
ALTER TABLE progress ADD COLUMN forgotten_at INTEGER;
CREATE INDEX progress_forgotten ON progress (campaign) WHERE forgotten_at IS NOT NULL;
-- What has been kept for long enough?
CREATE INDEX progress_ended ON progress (ended_at, campaign) WHERE ended_at IS NOT NULL AND forgotten_at IS NULL;

-- When the node is usually there: bytes of hub/core/placing/presence.ts.
ALTER TABLE nodes ADD COLUMN presence BLOB;

-- By project, and as best effort apart.
CREATE TABLE usage_by_project (
  owner TEXT NOT NULL,
  project TEXT NOT NULL,
  best_effort INTEGER NOT NULL,
  core_seconds REAL NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (owner, project, best_effort)
) STRICT, WITHOUT ROWID;
INSERT INTO usage_by_project SELECT owner, '', 0, core_seconds, at FROM usage;
DROP TABLE usage;
ALTER TABLE usage_by_project RENAME TO usage;

-- Of owners whose share is not 1.
CREATE TABLE shares (
  owner TEXT PRIMARY KEY,
  share REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- Whom to tell of what: written with the change that it tells of. The address stands in the campaign's rules.
CREATE TABLE notices (
  campaign INTEGER NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
  occasion TEXT NOT NULL,
  target INTEGER NOT NULL,
  at INTEGER NOT NULL,
  tries INTEGER NOT NULL,
  next_at INTEGER NOT NULL,
  trouble TEXT NOT NULL,
  done_at INTEGER,
  PRIMARY KEY (campaign, occasion, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX notices_due ON notices (next_at) WHERE done_at IS NULL;

CREATE INDEX blob_owners_of ON blob_owners (owner);

-- A blob that was named by what is swept is named once less.
CREATE TRIGGER campaigns_unname_stagein AFTER DELETE ON campaigns WHEN OLD.stagein IS NOT NULL BEGIN
  UPDATE blobs SET named = named - 1 WHERE digest = OLD.stagein;
END;
CREATE TRIGGER results_unname_stageout AFTER DELETE ON results WHEN OLD.stageout IS NOT NULL BEGIN
  UPDATE blobs SET named = named - 1 WHERE digest = OLD.stageout;
END;
CREATE TRIGGER results_unname_stdout AFTER DELETE ON results WHEN OLD.stdout IS NOT NULL BEGIN
  UPDATE blobs SET named = named - 1 WHERE digest = OLD.stdout;
END;
CREATE TRIGGER results_unname_stderr AFTER DELETE ON results WHEN OLD.stderr IS NOT NULL BEGIN
  UPDATE blobs SET named = named - 1 WHERE digest = OLD.stderr;
END;
