-- Of campaigns that were cancelled because another, which they needed, did not end well: which one, and which of their jobs. They wait
-- again when that is tried again. An older hub, which tries nothing again, leaves them as they are.
CREATE TABLE missed (
  campaign INTEGER NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
  first INTEGER NOT NULL,
  count INTEGER NOT NULL,
  needed INTEGER NOT NULL,
  PRIMARY KEY (campaign, first)
) STRICT, WITHOUT ROWID;
CREATE INDEX missed_for ON missed (needed, campaign, first);
