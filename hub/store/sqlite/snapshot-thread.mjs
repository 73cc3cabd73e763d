// Where the snapshot's thread begins; as writer-thread.mjs.
import { register } from "tsx/esm/api"

register()
await import("./snapshot-thread.ts")
