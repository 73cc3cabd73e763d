// Where the writer's thread begins. A worker inherits neither the loader of the thread that starts it nor, reliably, its
// working directory, so this plain file registers tsx from its own place before anything in TypeScript is imported.
import { register } from "tsx/esm/api"

register()
await import("./writer.ts")
