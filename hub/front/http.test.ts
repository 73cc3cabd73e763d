import assert from "node:assert/strict"
import type { IncomingMessage } from "node:http"
import { describe, it } from "node:test"
import { Failures } from "../auth/failures.ts"
import { LOGIN_REFILL_MS, LOGINS_MAX } from "../limits.ts"
import { baseUrlOf, isWithin } from "./http.ts"

function from(address: string, headers: Record<string, string> = {}, encrypted = false): IncomingMessage {
  return { headers, socket: { remoteAddress: address, encrypted } } as unknown as IncomingMessage
}

describe("the address by which a caller knows the hub", () => {
  it("is what it asked for, with the scheme it came by", () => {
    for (const host of ["hub.example.org", "hub.example.org:8080", "192.0.2.7:80", "[2001:db8::1]:8080"]) {
      assert.equal(baseUrlOf(from("192.0.2.1", { host }), null), `http://${host}/`)
      assert.equal(baseUrlOf(from("192.0.2.1", { host }, true), null), `https://${host}/`)
    }
    assert.equal(
      baseUrlOf(from("192.0.2.1", { ":authority": "hub.example.org" }, true), null),
      "https://hub.example.org/",
    )
  })

  it("is the operator's word before anybody else's, and nothing when nobody says a decent one", () => {
    assert.equal(baseUrlOf(from("192.0.2.1", { host: "x" }), "https://hub.example.org/"), "https://hub.example.org/")
    for (const host of ["", "a b", 'x"><script>', "user@host", "host/path", "host:port"]) {
      assert.equal(baseUrlOf(from("192.0.2.1", { host }), null), null, host)
    }
  })
})

describe("what strangers may do only so often", () => {
  it("is bounded for each address, and comes back with time; a proxy on this machine has limits of its own", () => {
    let nowMs = 0
    const logins = new Failures({ nowMs: () => nowMs, wallMs: () => 0 }, LOGINS_MAX, LOGIN_REFILL_MS)
    const tries = (address: string, count: number) =>
      Array.from({ length: count }, () => isWithin(logins, from(address))).filter(within => within).length
    assert.equal(tries("192.0.2.1", LOGINS_MAX + 5), LOGINS_MAX)
    assert.equal(tries("192.0.2.2", 3), 3, "nobody pays for another")
    nowMs += 2 * LOGIN_REFILL_MS
    assert.equal(tries("192.0.2.1", 5), 2)
    assert.equal(tries("127.0.0.1", LOGINS_MAX + 5), LOGINS_MAX + 5)
  })
})
