import assert from "node:assert/strict"
import { once } from "node:events"
import { type AddressInfo, createServer, type Socket } from "node:net"
import { test } from "node:test"
import type { TestContext } from "../fixtures.ts"
import { PROXY_ANSWER_MAX_BYTES } from "../limits.ts"
import { addressOfHub, dialHub } from "./dial.ts"

const hub = { host: "hub.example.org", port: 443 }
const never = new AbortController().signal

async function proxy(t: TestContext, answer: (request: string, socket: Socket) => void) {
  const server = createServer(socket => {
    socket.on("error", () => {})
    t.after(() => socket.destroy())
    socket.once("data", chunk => answer(chunk.toString("latin1"), socket))
  })
  await once(server.listen(0, "127.0.0.1"), "listening")
  t.after(() => server.close())
  return { host: "127.0.0.1", port: (server.address() as AddressInfo).port, user: "", password: "" }
}

test("a hub's address is its own port, or its protocol's", () => {
  assert.deepEqual(addressOfHub("https://hub.example.org"), { host: "hub.example.org", port: 443 })
  assert.deepEqual(addressOfHub("http://hub.example.org"), { host: "hub.example.org", port: 80 })
  assert.deepEqual(addressOfHub("http://[::1]:8080"), { host: "::1", port: 8080 })
})

test("through a proxy the connection is the hub's, from its first byte on", async t => {
  let asked = ""
  const through = await proxy(t, (request, socket) => {
    asked = request
    // The answer in pieces, and the hub's first bytes with its end.
    socket.write("HTTP/1.1 200 Conn")
    setImmediate(() => socket.write("ection established\r\nVia: x\r\n\r\nfirst"))
  })
  const socket = await dialHub(hub, { ...through, user: "ada", password: "love" }, never)
  assert.equal(String((await once(socket, "data"))[0]), "first")
  socket.destroy()
  assert.match(asked, /^CONNECT hub\.example\.org:443 HTTP\/1\.1\r\nHost: hub\.example\.org:443\r\n/)
  assert.match(asked, new RegExp(`\r\nProxy-Authorization: Basic ${Buffer.from("ada:love").toString("base64")}\r\n`))
})

test("a proxy that refuses, babbles or hangs up is told of in words", async t => {
  const answers: readonly (readonly [(socket: Socket) => void, RegExp])[] = [
    [socket => socket.write("HTTP/1.1 407 Authenticate\r\n\r\n"), /it wants a name and a password/],
    [socket => socket.write("HTTP/1.1 403 Forbidden\r\n\r\n"), /it answered 403/],
    [socket => socket.write("SSH-2.0\r\n\r\n"), /something that is no HTTP/],
    [socket => socket.write("x".repeat(PROXY_ANSWER_MAX_BYTES + 1)), /does not end/],
    [socket => socket.destroy(), /hung up/],
  ]
  for (const [answer, message] of answers) {
    const through = await proxy(t, (_, socket) => answer(socket))
    await assert.rejects(dialHub(hub, through, never), message)
  }
})

test("nobody there, and a dial that is called off, are told of in words", async t => {
  await assert.rejects(dialHub({ host: "127.0.0.1", port: 9 }, null, never), /cannot be reached: nobody listens there/)
  const silent = await proxy(t, () => {})
  const off = new AbortController()
  const dialling = dialHub(hub, silent, off.signal)
  setImmediate(() => off.abort())
  await assert.rejects(dialling, /does not answer/)
})
