// The tests of fuzz.test.ts again, with the desk at the other end of a MessageChannel: links could be served in another thread.
import { byMessages } from "./fixtures.ts"

byMessages()
await import("./fuzz.test.ts")
