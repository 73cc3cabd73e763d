-- Each line of a story has the number of its why (hub/core/why.ts) after its time; lines of before have none, and are read as unknown.
-- breaking: an older hub takes each value for the one after it.
ALTER TABLE cancelled ADD COLUMN why INTEGER NOT NULL DEFAULT 0;
