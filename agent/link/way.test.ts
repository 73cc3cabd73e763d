import assert from "node:assert/strict"
import { test } from "node:test"
import { agentUrl, whyFailed } from "./dial.ts"

test("V14: says that the clock may be wrong where a certificate is not valid by it", () => {
  const at = Date.UTC(2027, 0, 10, 12)
  const failed = (code: string): string => whyFailed(Object.assign(new Error("words"), { code }), at)
  assert.match(
    failed("CERT_HAS_EXPIRED"),
    /by this computer's clock \(2027-01-10 12:00 UTC\) .* has expired: if date and time/,
  )
  assert.match(failed("CERT_NOT_YET_VALID"), /is not valid yet/)
  assert.equal(failed("ECONNREFUSED"), "words")
})

test("asks for TLS on the way to another machine", () => {
  assert.equal(agentUrl("https://hub.example.org/cah/", false).href, "wss://hub.example.org/cah/agent")
  assert.equal(agentUrl("http://127.0.0.1:8080", false).href, "ws://127.0.0.1:8080/agent")
  assert.equal(agentUrl("http://10.0.2.2:8080", true).protocol, "ws:")
  assert.throws(() => agentUrl("http://10.0.2.2:8080", false), { message: /plain text.*--insecure/, final: true })
  assert.throws(() => agentUrl("ftp://hub", false), { message: /must begin with https/, final: true })
  assert.throws(() => agentUrl("hub", false), { message: /no URL/, final: true })
})
