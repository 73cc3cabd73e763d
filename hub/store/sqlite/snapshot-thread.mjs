// Where the snapshot's thread begins; as writer-thread.mjs.
import { workerData } from "node:worker_threads"
import { register } from "tsx/esm/api"

register()
const { vacuumInto } = await import("./snapshot.ts")
vacuumInto(workerData)
