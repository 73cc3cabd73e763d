import assert from "node:assert/strict"
import { once } from "node:events"
import { type AddressInfo, createServer, type Socket } from "node:net"
import { test } from "node:test"
import type { HubProxy } from "../core/ports.ts"
import type { TestContext } from "../fixtures.ts"
import { PROXY_ANSWER_MAX_BYTES } from "../limits.ts"
import { addressOfHub, dialHub } from "./dial.ts"

const hub = { host: "hub.example.org", port: 443 }
const never = new AbortController().signal

async function proxy(t: TestContext, answer: (request: string, socket: Socket) => void): Promise<HubProxy> {
  const server = createServer(socket => {
    socket.on("error", () => {})
    t.after(() => socket.destroy())
    socket.once("data", chunk => answer(chunk.toString("latin1"), socket))
  })
  await once(server.listen(0, "127.0.0.1"), "listening")
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const host = "127.0.0.1"
  return { kind: "http", host, port, user: "", password: "", isNameLookedUpThere: false, exempt: [] }
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

test("V14: who is named as needing no proxy is reached without one", async t => {
  const straight = await proxy(t, (_, socket) => socket.write("straight"))
  const asked: string[] = []
  const through = await proxy(t, (request, socket) => {
    asked.push(request)
    socket.destroy()
  })
  for (const exempt of [["localhost"], [".example.org", "LOCALHOST"], ["*"]]) {
    const socket = await dialHub({ host: "localhost", port: straight.port }, { ...through, exempt }, never)
    socket.write("x")
    assert.equal(String((await once(socket, "data"))[0]), "straight")
    socket.destroy()
  }
  for (const exempt of [["host"], ["localhost.example.org"], [".localhost"], []]) {
    await assert.rejects(dialHub({ host: "localhost", port: straight.port }, { ...through, exempt }, never), /hung up/)
  }
  assert.equal(asked.length, 4)
})

test("V14: a proxy that is gone is told of with where to say so", async () => {
  const gone: HubProxy = {
    kind: "http",
    host: "127.0.0.1",
    port: 9,
    user: "",
    password: "",
    isNameLookedUpThere: false,
    exempt: [],
  }
  await assert.rejects(
    dialHub(hub, gone, never),
    /the proxy \(127\.0\.0\.1:9\) cannot be reached: nobody listens there; if it is not/,
  )
})

test("V14: through a SOCKS 5 proxy, with a name and password and its own look-up or without", async t => {
  const said: string[] = []
  const talk = (answers: readonly string[]) => async (): Promise<HubProxy> => {
    const left = [...answers]
    const through = await proxy(t, (first, socket) => {
      const next = (chunk: Buffer): void => {
        said.push(chunk.toString("hex"))
        const answer = left.shift()
        // Byte by byte: an answer may come in any pieces.
        for (const byte of Buffer.from(answer ?? "", "hex")) socket.write(Buffer.of(byte))
      }
      next(Buffer.from(first, "latin1"))
      socket.on("data", next)
    })
    return { ...through, kind: "socks5" }
  }
  const done = "05000001 00000000 0000".replaceAll(" ", "")
  const first = Buffer.from("first").toString("hex")
  const named = { user: "ada", password: "love", isNameLookedUpThere: true }
  const socket = await dialHub(hub, { ...(await talk(["0502", "0100", done + first])()), ...named }, never)
  assert.equal(String((await once(socket, "data"))[0]), "first")
  socket.destroy()
  const name = Buffer.from("hub.example.org").toString("hex")
  assert.deepEqual(said.splice(0), ["05020002", "0103616461046c6f7665", `050100030f${name}01bb`])

  for (const [host, address] of [
    ["127.0.0.1", "017f000001"],
    ["2001:db8::1", "0420010db8000000000000000000000001"],
    ["::ffff:10.0.0.1", "0400000000000000000000ffff0a000001"],
  ]) {
    const plain = await dialHub({ host: host!, port: 80 }, await talk(["0500", done])(), never)
    plain.destroy()
    assert.deepEqual(said.splice(0), ["050100", `050100${address}0050`])
  }

  for (const [answers, message] of [
    [["05ff"], /it wants a name and a password/],
    [["485454502f"], /something that is no SOCKS 5/],
    [["0500", "0502000100000000 0000".replace(" ", "")], /does not connect to the hub: it may not/],
    [["0500", "0563000100000000 0000".replace(" ", "")], /it answered 99/],
  ] as const) {
    await assert.rejects(dialHub({ host: "127.0.0.1", port: 80 }, await talk(answers)(), never), message)
  }
  const wrong = { ...(await talk(["0502", "0101"])()), ...named }
  await assert.rejects(dialHub(hub, wrong, never), /does not take this name and password/)
})
