import assert from "node:assert/strict"
import { test } from "node:test"
import { type Profile, topOf } from "./profile.ts"

const frame = (functionName: string, url: string) => ({ functionName, url, lineNumber: 0 })
const nodes: Profile["nodes"] = [
  { id: 1, callFrame: frame("(idle)", "") },
  { id: 2, callFrame: frame("change", "file:///somewhere/hub/core/change.ts") },
  { id: 3, callFrame: frame("", "file:///somewhere/hub/core/change.ts") },
  { id: 4, callFrame: frame("send", "file:///somewhere/node_modules/ws/lib/sender.js") },
]

test("a profile is summed up by function and by file, without idle time", () => {
  const text = topOf({ nodes, samples: [1, 2, 2, 3, 4], timeDeltas: [9_000, 3_000, 3_000, 2_000, 2_000] })!
  assert.match(text, /busy 10 ms, idle 9 ms/)
  assert.match(text, /60\.0 % +6 ms {2}change {2}hub\/core\/change\.ts/)
  assert.match(text, /80\.0 % +8 ms {2}hub\/core\/change\.ts/)
  assert.match(text, /20\.0 % +2 ms {2}send {2}ws\/lib\/sender\.js/)
})

test("a thread that slept is left out", () => {
  assert.equal(topOf({ nodes, samples: [1, 2], timeDeltas: [99_900, 100] }), null)
})
