// What the snapshot's thread does. A build makes snapshot-thread.mjs of this file alone.
import { workerData } from "node:worker_threads"
import { type SnapshotSettings, vacuumInto } from "./snapshot.ts"

vacuumInto(workerData as SnapshotSettings)
