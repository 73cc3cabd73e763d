import assert from "node:assert/strict"
import { test } from "node:test"
import { blockOf, isLoopback, networkOf, plainAddress } from "./address.ts"

test("S8: this machine is 127/8, ::1 and localhost, however they are written, and nothing else", () => {
  for (const host of [
    "127.0.0.1",
    "127.9.9.9",
    "::1",
    "[::1]",
    "0:0:0:0:0:0:0:1",
    "::ffff:127.0.0.1",
    "[::ffff:7f00:1]",
  ]) {
    assert.ok(isLoopback(host), host)
  }
  assert.ok(isLoopback("localhost") && isLoopback("LOCALHOST"))
  for (const host of [
    "10.0.0.1",
    "::",
    "::2",
    "::ffff:10.0.0.1",
    "127.evil.example",
    "127.1",
    "localhost.evil",
    "",
    undefined,
  ]) {
    assert.ok(!isLoopback(host), host)
  }
})

test("an address is written one way, and is one subscriber's", () => {
  for (const [given, plain, block] of [
    ["192.0.2.7", "192.0.2.7", "192.0.2.7"],
    ["::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7"],
    ["::FFFF:c000:207", "192.0.2.7", "192.0.2.7"],
    ["2001:0DB8:0:0:0:0:0:1", "2001:db8::1", "2001:db8:0:0::/64"],
    ["2001:db8::1:2:3:4", "2001:db8::1:2:3:4", "2001:db8:0:0::/64"],
    ["2001:db8:1:2:3::", "2001:db8:1:2:3::", "2001:db8:1:2::/64"],
    ["fe80::1%eth0", "fe80::1", "fe80:0:0:0::/64"],
  ] as const) {
    assert.equal(plainAddress(given), plain)
    assert.equal(blockOf(given), block)
  }
  for (const [given, network] of [
    ["192.0.2.7", "192.0.2.0/24"],
    ["::ffff:192.0.2.7", "192.0.2.0/24"],
    ["127.0.0.1", "127.0.0.0/24"],
    ["2001:db8::1:2:3:4", "2001:db8:0::/48"],
    ["2001:db8:1:2:3::", "2001:db8:1::/48"],
    ["fe80::1%eth0", "fe80:0:0::/48"],
    ["unknown", ""],
  ] as const)
    assert.equal(networkOf(given), network)
  for (const wrong of ["", "unknown", "1.2.3", "_hidden", "1.2.3.4.5", "::g"]) assert.equal(plainAddress(wrong), null)
})
