// Who may begin a link, without a socket: what strangers can take from honest agents.
import assert from "node:assert/strict"
import type { IncomingMessage } from "node:http"
import { describe, it } from "node:test"
import { SUBPROTOCOL } from "../../proto/wire/frame.ts"
import { HELLO_MS } from "../limits.ts"
import { Admissions, admissionLimits, type Entry, type From } from "./admission.ts"

const request = { url: "/agent", headers: { "sec-websocket-protocol": SUBPROTOCOL } } as unknown as IncomingMessage
const at = (address: string): From => ({ address, block: address, isCounted: true })

describe("agents among strangers", () => {
  /** One who calls at a moment: true if it was let in. */
  function world() {
    let nowMs = 0
    const admissions = new Admissions(admissionLimits, () => 0, nowMs)
    return {
      pass(ms: number) {
        nowMs += ms
      },
      call(from: From, gone: () => void = () => {}): Entry | null {
        if (admissions.judge(request, from, { nowMs, lagMs: 0 }) !== null) return null
        return admissions.entered(from, gone)
      },
    }
  }

  it("S6: two addresses with 250 silent WebSockets each, renewed at once, keep none of 30 out", () => {
    const { call, pass } = world()
    const silent = new Map<Entry, number>()
    let ms = 0
    const attack = () => {
      for (const [entry, atMs] of silent) {
        if (ms - atMs < HELLO_MS) continue
        entry.left()
        silent.delete(entry)
      }
      for (const address of ["203.0.113.1", "203.0.113.2"]) {
        for (let n = 0; n < 250; n++) {
          let entry: Entry | null = null
          entry = call(at(address), () => silent.delete(entry!))
          if (entry !== null) silent.set(entry, ms)
        }
      }
    }
    let joined = 0
    for (let n = 0; n < 30; n++) {
      attack()
      const honest = call(at(`192.0.2.${n}`))
      if (honest !== null) {
        joined++
        honest.greeted()
      }
      pass(500)
      ms += 500
    }
    assert.equal(joined, 30)
  })

  it("S6: 40 addresses that take all accepts there are leave enough for those who take few", () => {
    const { call, pass } = world()
    let joined = 0
    for (let second = 0; second < 60; second++) {
      for (let n = 0; n < 40; n++) {
        for (let k = 0; k < 50; k++) call(at(`203.0.113.${n}`))?.left()
      }
      for (let n = 0; n < 5; n++) {
        const honest = call(at(`192.0.${second}.${n}`))
        if (honest !== null) joined++
        honest?.greeted()
      }
      pass(1_000)
    }
    assert.equal(joined, 300)
  })

  it("S6: a lab behind one address is back at once", () => {
    const { call } = world()
    for (let n = 0; n < 200; n++) assert.ok(call(at("198.51.100.1")))
  })

  it("that have said hello never give way", () => {
    const { call } = world()
    const gone: string[] = []
    call(at("192.0.2.1"), () => gone.push("honest"))!.greeted()
    for (const n of [1, 2, 3]) for (let k = 0; k < 250; k++) call(at(`203.0.113.${n}`), () => gone.push("silent"))
    assert.ok(gone.length >= 10)
    assert.ok(!gone.includes("honest"))
  })
})
