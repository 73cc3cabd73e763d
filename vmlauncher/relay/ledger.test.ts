import assert from "node:assert/strict"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import type { Budget } from "../core/ports.ts"
import { scratch, type TestContext } from "../fixtures.ts"
import { LEDGER_MS } from "../limits.ts"
import { Ledger } from "./ledger.ts"

const DAY_MS = 86_400_000

function desk(t: TestContext): {
  open(budget: Budget | null): Ledger
  gates: boolean[]
  time: { wallMs: number; nowMs: number }
  path: string
} {
  const path = join(scratch(t), "network.json")
  const gates: boolean[] = []
  const time = { wallMs: 1e12, nowMs: 0 }
  const clock = { nowMs: () => time.nowMs, wallMs: () => time.wallMs }
  const open = (budget: Budget | null): Ledger => {
    const ledger = new Ledger({ path, clock, budget, onGate: isOpen => gates.push(isOpen) })
    t.after(() => ledger.close())
    ledger.look()
    return ledger
  }
  return { open, gates, time, path }
}

test("an allowance is used up by both directions together, once, and survives a restart", t => {
  const { open, gates } = desk(t)
  const ledger = open({ bytes: 100, days: 30 })
  ledger.sent(60)
  assert.deepEqual(gates, [])
  ledger.received(40)
  ledger.received(1)
  assert.deepEqual(gates, [false])
  assert.deepEqual([ledger.sentBytes, ledger.receivedBytes], [60, 41])
  ledger.close()
  const next = open({ bytes: 100, days: 30 })
  assert.deepEqual(gates, [false, false])
  assert.deepEqual([next.sentBytes, next.receivedBytes], [0, 0])
})

test("a new period opens it again, and periods follow one another without a gap", t => {
  const { open, gates, time } = desk(t)
  const ledger = open({ bytes: 100, days: 30 })
  ledger.sent(100)
  time.wallMs += 30 * DAY_MS - 1
  ledger.look()
  assert.deepEqual(gates, [false])
  time.wallMs += 10 * DAY_MS + 1
  ledger.look()
  ledger.sent(100)
  time.wallMs += 20 * DAY_MS
  ledger.look()
  assert.deepEqual(gates, [false, true, false, true])
})

test("a larger allowance, or none, opens it at once", t => {
  const { open, gates } = desk(t)
  const ledger = open({ bytes: 100, days: 30 })
  ledger.sent(100)
  ledger.setBudget({ bytes: 200, days: 30 })
  ledger.setBudget({ bytes: 50, days: 30 })
  ledger.setBudget(null)
  assert.deepEqual(gates, [false, true, false, true])
})

test("a clock that was set back does not close it for a year", t => {
  const { open, gates, time } = desk(t)
  const ledger = open({ bytes: 100, days: 30 })
  ledger.sent(100)
  time.wallMs -= 365 * DAY_MS
  ledger.look()
  assert.deepEqual(gates, [false, true])
})

test("what was counted is written now and then, and a damaged file begins anew", t => {
  const { open, gates, time, path } = desk(t)
  writeFileSync(path, '{"beganMs":1,"usedBytes":-5}')
  const ledger = open({ bytes: 1_000, days: 30 })
  ledger.sent(10)
  time.nowMs += LEDGER_MS
  ledger.sent(1)
  assert.equal(JSON.parse(readFileSync(path, "utf8")).usedBytes, 11)
  assert.equal(existsSync(`${path}.part`), false)
  assert.deepEqual(gates, [])
})
