// The bare hub's writer: one transaction per batch, answered after COMMIT. The same driver and the same pragmas as hub/store/sqlite/open.ts.
// Plain JavaScript, so that the thread needs no loader.
import { parentPort, workerData } from "node:worker_threads"
import Database from "better-sqlite3"

const db = new Database(workerData.file)
db.pragma("journal_mode = WAL")
db.pragma("synchronous = FULL")
db.pragma("wal_autocheckpoint = 4096")
db.exec(`
  CREATE TABLE campaigns (id INTEGER PRIMARY KEY, total INTEGER NOT NULL, spec BLOB NOT NULL, lines TEXT NOT NULL) STRICT;
  CREATE TABLE journal (id INTEGER PRIMARY KEY, changes BLOB NOT NULL) STRICT;
  CREATE TABLE jobs (
    campaign INTEGER NOT NULL, idx INTEGER NOT NULL, attempt INTEGER NOT NULL, agent INTEGER NOT NULL, result BLOB NOT NULL,
    PRIMARY KEY (campaign, idx)
  ) STRICT, WITHOUT ROWID;
`)
const campaign = db.prepare("INSERT INTO campaigns VALUES (?, ?, ?, ?)")
const journal = db.prepare("INSERT INTO journal (changes) VALUES (?)")
const job = db.prepare("INSERT INTO jobs VALUES (?, ?, 1, ?, ?)")

const write = db.transaction(batch => {
  for (const { id, total, spec, lines } of batch.submitted) campaign.run(id, total, spec, JSON.stringify(lines))
  if (batch.journal.length > 0) journal.run(batch.journal)
  const { ended, results } = batch
  for (let i = 0; i < results.length; i++) job.run(ended[3 * i], ended[3 * i + 1], ended[3 * i + 2], results[i])
}).immediate

parentPort.on("message", batch => {
  if (batch === null) {
    db.close()
    process.exit(0)
  }
  write(batch)
  parentPort.postMessage(null)
})
