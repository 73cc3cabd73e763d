import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { Peers } from "./peers.ts"
import { readProxyHeader } from "./proxy-protocol.ts"

function of(peers: Peers, remoteAddress: string, headers: Record<string, string> = {}, encrypted = false) {
  return peers.of({ headers: { host: "127.0.0.1:80", ...headers }, socket: { remoteAddress, encrypted } } as never)
}

describe("who is asking", () => {
  const plain = new Peers()
  const behind = new Peers({ trusted: ["127.0.0.1", "10.1.0.0/16", "fd00::/8"] })

  it("S8: is the client that a trusted proxy names, and never what the client wrote itself", () => {
    const cases: [string, Record<string, string>, string][] = [
      ["127.0.0.1", { "x-forwarded-for": "203.0.113.5" }, "203.0.113.5"],
      ["::ffff:127.0.0.1", { "x-forwarded-for": "203.0.113.5" }, "203.0.113.5"],
      ["10.1.2.3", { "x-forwarded-for": "198.51.100.66, 203.0.113.5" }, "203.0.113.5"],
      ["10.1.2.3", { "x-forwarded-for": "198.51.100.66, 203.0.113.5, 10.1.9.9" }, "203.0.113.5"],
      ["10.1.2.3", { "x-forwarded-for": "10.1.7.7, 10.1.9.9" }, "10.1.7.7"],
      ["10.1.2.3", { "x-forwarded-for": "203.0.113.5, rubbish" }, "10.1.2.3"],
      ["10.1.2.3", { "x-forwarded-for": "203.0.113.5:4711" }, "203.0.113.5"],
      ["10.1.2.3", { "x-forwarded-for": "[2001:DB8::5]:4711" }, "2001:db8::5"],
      ["fd00::1", { "x-forwarded-for": "2001:db8::5" }, "2001:db8::5"],
      ["10.1.2.3", { forwarded: 'for=203.0.113.5;proto=https, for="[2001:db8::9]:5"' }, "2001:db8::9"],
      ["10.1.2.3", { forwarded: "for=unknown" }, "10.1.2.3"],
      // Most proxies write X-Forwarded-For, and pass on whatever Forwarded their client made up.
      ["10.1.2.3", { forwarded: "for=198.51.100.66", "x-forwarded-for": "203.0.113.5" }, "203.0.113.5"],
      ["10.2.0.1", { "x-forwarded-for": "203.0.113.5" }, "10.2.0.1"],
      ["203.0.113.9", { "x-forwarded-for": "127.0.0.1" }, "203.0.113.9"],
      ["10.1.2.3", {}, "10.1.2.3"],
    ]
    for (const [near, headers, address] of cases) {
      assert.equal(of(behind, near, headers).address, address, `${near} ${JSON.stringify(headers)}`)
    }
    assert.equal(of(plain, "127.0.0.1", { "x-forwarded-for": "203.0.113.5" }).address, "127.0.0.1")
  })

  it("O4: is the operator only at the hub's own machine, where no proxy can stand between", () => {
    assert.ok(of(plain, "127.0.0.1").isOperator)
    assert.ok(of(plain, "::1", { host: "[::1]:8080" }).isOperator)
    assert.ok(of(plain, "127.0.0.1", { host: "localhost" }).isOperator)
    for (const headers of [
      { "x-forwarded-for": "1.2.3.4" },
      { "x-real-ip": "1.2.3.4" },
      { via: "1.1 x" },
      { host: "evil.example" },
    ]) {
      assert.ok(!of(plain, "127.0.0.1", headers).isOperator, JSON.stringify(headers))
    }
    assert.ok(!of(plain, "203.0.113.5").isOperator)
    assert.ok(!of(behind, "127.0.0.1").isOperator)
    assert.ok(!of(new Peers({ trusted: ["10.0.0.5"] }), "127.0.0.1").isOperator)
    assert.ok(!of(new Peers({ hasPublicUrl: true }), "127.0.0.1").isOperator)
    assert.ok(!of(behind, "10.1.2.3", { "x-forwarded-for": "127.0.0.1" }).isOperator)
  })

  it("S8: is counted by address, but for loopback that was not named a proxy", () => {
    assert.ok(!of(plain, "127.0.0.1").isCounted)
    assert.ok(of(plain, "203.0.113.5").isCounted)
    assert.ok(of(behind, "127.0.0.1").isCounted)
    assert.equal(of(behind, "127.0.0.1", { "x-forwarded-for": "2001:db8::5" }).block, "2001:db8:0:0::/64")
  })

  it("came by TLS if the socket did, or a trusted proxy says so", () => {
    assert.ok(of(plain, "203.0.113.5", {}, true).isEncrypted)
    assert.ok(!of(plain, "203.0.113.5", { "x-forwarded-proto": "https" }).isEncrypted)
    assert.ok(of(behind, "10.1.2.3", { "x-forwarded-for": "203.0.113.5", "x-forwarded-proto": "https" }).isEncrypted)
    assert.ok(of(behind, "10.1.2.3", { forwarded: "for=203.0.113.5;proto=https" }).isEncrypted)
  })

  it("refuses to trust what is no address", () => {
    for (const wrong of ["", "proxy.example.org", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0"]) {
      assert.throws(() => new Peers({ trusted: [wrong] }), {
        code: "invalid_argument",
        message: /no address or network/,
      })
    }
  })
})

describe("the PROXY protocol", () => {
  const v2 = (hex: string) => Buffer.from(`0d0a0d0a000d0a515549540a${hex.replaceAll(" ", "")}`, "hex")
  const header = (bytes: number, address: string | null) => ({ kind: "header", bytes, address })

  it("S8: of both versions says whose the connection is, and where its own bytes begin", () => {
    const text = "PROXY TCP4 203.0.113.5 10.0.0.1 4711 443\r\n"
    assert.deepEqual(readProxyHeader(Buffer.from(`${text}GET / HTTP/1.1`)), header(text.length, "203.0.113.5"))
    const long = "PROXY TCP6 2001:db8::5 ::1 4711 443\r\n"
    assert.deepEqual(readProxyHeader(Buffer.from(long)), header(long.length, "2001:db8::5"))
    assert.deepEqual(readProxyHeader(Buffer.from("PROXY UNKNOWN\r\n")), header(15, null))
    assert.deepEqual(readProxyHeader(v2("21 11 000c cb007105 0a000001 1267 01bb")), header(28, "203.0.113.5"))
    const six = `21 21 0024 20010db8000000000000000000000005 ${"00".repeat(15)}01 1267 01bb`
    assert.deepEqual(readProxyHeader(v2(six)), header(52, "2001:db8::5"))
    assert.deepEqual(readProxyHeader(v2("20 00 0000")), header(16, null))
    // With more than the addresses behind them.
    assert.deepEqual(readProxyHeader(v2("21 11 0010 cb007105 0a000001 1267 01bb 04000161")), header(32, "203.0.113.5"))
  })

  it("is waited for while it may still come, and told from all else", () => {
    for (const whole of [
      Buffer.from("PROXY TCP4 203.0.113.5 10.0.0.1 4711 443\r\n"),
      v2("21 11 000c cb007105 0a000001 1267 01bb"),
    ]) {
      for (let n = 0; n < whole.length; n++) assert.deepEqual(readProxyHeader(whole.subarray(0, n)), { kind: "more" })
    }
    for (const other of ["PRI * HTTP/2.0", "POST /", "GET /", "\x16\x03\x01"]) {
      assert.deepEqual(readProxyHeader(Buffer.from(other, "latin1")), { kind: "none" })
    }
  })

  it("that is broken is found out", () => {
    for (const line of [
      "TCP4 1.2.3 4.5.6.7 1 2",
      "TCP4 ::1 ::1 1 2",
      "TCP4 1.2.3.4 5.6.7.8 1",
      "TCP4 1.2.3.4 5.6.7.8 1 70000",
      "TCP5 a b 1 2",
    ]) {
      assert.deepEqual(readProxyHeader(Buffer.from(`PROXY ${line}\r\n`)), { kind: "broken" }, line)
    }
    assert.deepEqual(readProxyHeader(Buffer.from(`PROXY ${"x".repeat(200)}`)), { kind: "broken" })
    for (const wrong of ["11 11 000c", "2f 11 000c", "21 11 ffff", "21 11 0004 cb007105"]) {
      assert.deepEqual(readProxyHeader(v2(wrong)), { kind: "broken" }, wrong)
    }
  })
})
