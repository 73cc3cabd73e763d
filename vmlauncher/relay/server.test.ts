import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { appendFileSync } from "node:fs"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { join } from "node:path"
import { test } from "node:test"
import { scratch, type TestContext } from "../fixtures.ts"
import { FLOOD_CONNECTIONS, RELAYS_MAX } from "../limits.ts"
import { selfCommand } from "../release.ts"
import { Bucket } from "./bucket.ts"
import { dialHub } from "./dial.ts"
import { Ledger } from "./ledger.ts"
import { Relay } from "./server.ts"

interface Options {
  readonly upRate?: number
  readonly hub?: (socket: Socket) => void
}

async function start(t: TestContext, { upRate, hub = socket => socket.pipe(socket) }: Options = {}) {
  const directory = scratch(t)
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, socket => {
    sockets.add(socket)
    socket.on("error", () => socket.destroy())
    socket.on("close", () => sockets.delete(socket))
    hub(socket)
  })
  await once(server.listen(0, "127.0.0.1"), "listening")
  const { port } = server.address() as AddressInfo
  const clock = { nowMs: () => performance.now(), wallMs: () => Date.now() }
  const ledger = new Ledger({ path: join(directory, "network.json"), clock, budget: null, onGate: () => {} })
  const seen = { heard: 0, floods: 0, hub: [] as (string | null)[] }
  let onFlood = (): void => {}
  const relay = new Relay({
    dial: signal => dialHub({ host: "127.0.0.1", port }, null, signal),
    up: new Bucket(upRate ?? null),
    down: new Bucket(null),
    ledger,
    clock,
    refused: join(directory, "refused"),
    onHeard: () => seen.heard++,
    onFlood: () => {
      seen.floods++
      onFlood()
    },
    onHub: trouble => seen.hub.push(trouble),
  })
  const path = join(directory, "relay.sock")
  await relay.listen(path)
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  t.after(async () => {
    await relay.close()
    ledger.close()
    await close()
  })
  const flooded = new Promise<void>(resolve => {
    onFlood = resolve
  })
  return { relay, ledger, path, seen, close, flooded, directory }
}

async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

test("what the guest sends comes to the hub and back as it was, and is counted", async t => {
  const { path, ledger, seen } = await start(t)
  const bytes = randomBytes(3_000_000)
  const guest = connect({ path, allowHalfOpen: true })
  guest.end(bytes)
  const back = await readAll(guest)
  assert.equal(createHash("sha256").update(back).digest("hex"), createHash("sha256").update(bytes).digest("hex"))
  assert.deepEqual([ledger.sentBytes, ledger.receivedBytes], [bytes.length, bytes.length])
  assert.ok(seen.heard > 0)
})

test("the way up keeps to its rate", async t => {
  const { path } = await start(t, { upRate: 500_000 })
  const startedMs = performance.now()
  const guest = connect({ path, allowHalfOpen: true })
  guest.end(Buffer.alloc(300_000))
  assert.equal((await readAll(guest)).length, 300_000)
  const tookMs = performance.now() - startedMs
  // The first step's worth is there from the beginning.
  assert.ok(tookMs > 400 && tookMs < 2_500, `${tookMs} ms`)
})

test("closed, it lets nobody through; open again, it does", async t => {
  const { path, relay } = await start(t)
  const before = connect(path)
  before.write("x")
  await once(before, "data")
  relay.setOpen(false)
  await once(before, "close")
  const during = connect(path)
  await once(
    during.on("error", () => {}),
    "close",
  )
  relay.setOpen(true)
  const after = connect(path)
  after.write("x")
  assert.equal(String((await once(after, "data"))[0]), "x")
  after.destroy()
})

test("a hub that is away is told once, and once that it is back", async t => {
  const { path, seen, close } = await start(t)
  const first = connect(path)
  first.write("x")
  await once(first, "data")
  await close()
  await once(first, "close")
  for (let n = 0; n < 3; n++)
    await once(
      connect(path).on("error", () => {}),
      "close",
    )
  assert.equal(seen.hub.length, 1)
  assert.match(seen.hub[0]!, /^the hub \(127\.0\.0\.1:\d+\) cannot be reached: nobody listens there$/)
})

test("a guest that opens far more connections than any agent is noticed, and so are those that were stopped before", async t => {
  const { path, seen, flooded, directory } = await start(t)
  const some = Array.from({ length: RELAYS_MAX }, () => connect(path))
  for (const socket of some) socket.write("x")
  await Promise.all(some.map(socket => once(socket, "data")))
  await once(
    connect(path).on("error", () => {}),
    "close",
  )
  assert.equal(seen.floods, 0)
  appendFileSync(join(directory, "refused"), "\n".repeat(FLOOD_CONNECTIONS))
  await flooded
  assert.equal(seen.floods, 1)
  for (const socket of some) socket.destroy()
})

test("a relay process passes bytes both ways, and ends when either side does", async t => {
  const { path, relay } = await start(t)
  const [program, ...args] = [...selfCommand(), "relay", path]
  const begin = () => spawn(program!, args, { stdio: ["pipe", "pipe", "inherit"] })
  const one = begin()
  one.stdin.write("hello")
  assert.equal(String((await once(one.stdout, "data"))[0]), "hello")
  relay.drop()
  assert.deepEqual(await once(one, "exit"), [0, null])
  const two = begin()
  two.stdin.end("bye")
  assert.deepEqual(await once(two, "exit"), [0, null])
  const nobody = spawn(program!, [...args.slice(0, -1), join(path, "none")], { stdio: ["pipe", "pipe", "inherit"] })
  assert.deepEqual(await once(nobody, "exit"), [0, null])
})
