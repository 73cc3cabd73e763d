import assert from "node:assert/strict"
import { test } from "node:test"
import type { Log } from "./core/ports.ts"
import { SparingLog } from "./sparing.ts"

function lines() {
  const said: string[] = []
  const say = (level: string) => (fields: Record<string, unknown>, message: string) =>
    void said.push(`${level} ${message} ${JSON.stringify(fields)}`)
  const log: Log = { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") }
  return { said, log }
}

test("O11: what one stranger causes 449 times is a line at once, and one a minute with a count", t => {
  t.mock.timers.enable({ apis: ["setTimeout"] })
  const { said, log } = lines()
  const sparing = new SparingLog(log)
  for (let n = 0; n < 449; n++) sparing.say("info", "2001:db8::1", "agent refused", { n })
  sparing.say("info", "203.0.113.5", "agent refused", { n: 7 })
  assert.deepEqual(said.splice(0), ['info agent refused {"n":0}', 'info agent refused {"n":7}'])
  t.mock.timers.tick(60_000)
  assert.deepEqual(said.splice(0), ['info agent refused {"n":448,"times":448}'])
  sparing.say("info", "2001:db8::2", "agent refused", { n: 1 })
  t.mock.timers.tick(60_000)
  assert.deepEqual(said.splice(0), ['info agent refused {"n":1,"times":1}'], "one subscriber, and still the same story")
  t.mock.timers.tick(60_000)
  assert.deepEqual(said, [])
  sparing.say("error", "2001:db8::1", "agent refused", { n: 2 })
  assert.deepEqual(said, ['error agent refused {"n":2}'])
})

test("O11: of more strangers than it has lines for it says how many there were", t => {
  t.mock.timers.enable({ apis: ["setTimeout"] })
  const { said, log } = lines()
  const sparing = new SparingLog(log, 3)
  for (let n = 0; n < 10; n++) sparing.say("info", `203.0.113.${n}`, "agent refused", {})
  assert.equal(said.splice(0).length, 3)
  t.mock.timers.tick(60_000)
  assert.deepEqual(said.splice(0), ['info more lines of this kind were left out {"times":7}'])
  sparing.say("info", "198.51.100.1", "agent refused", {})
  assert.equal(said.length, 1)
})
