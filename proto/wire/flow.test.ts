import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { setImmediate as nextTurn } from "node:timers/promises"
import { type Frame, whole } from "./bulk.ts"
import { CONTROL_QUEUE_MAX_BYTES, Outbox } from "./flow.ts"
import { CHUNK_MAX_BYTES } from "./frame.ts"

/** An outbox whose writes are shown as text: "control", "1@0+65536" (a chunk), "1." (an end). */
function outbox() {
  const writes: string[][] = []
  const dones: (() => void)[] = []
  let overflows = 0
  let accounted = 0
  const text = (frame: Frame) => Buffer.from(whole(frame)).toString()
  const box = new Outbox({
    pipe: {
      write: (frames, done) => {
        writes.push(frames.map(text))
        dones.push(done)
      },
    },
    chunkFrame: (stream, offset, data) => Buffer.from(`${stream}@${offset}+${data.length}`),
    endFrame: stream => Buffer.from(`${stream}.`),
    later: setImmediate,
    overflow: () => overflows++,
    account: bytes => {
      accounted += bytes
    },
  })
  return {
    box,
    writes,
    taken: () => dones.shift()!(),
    overflows: () => overflows,
    accounted: () => accounted,
  }
}

async function* bytes(length: number): AsyncGenerator<Uint8Array> {
  for (let rest = length; rest > 0; rest -= CHUNK_MAX_BYTES) yield new Uint8Array(Math.min(rest, CHUNK_MAX_BYTES))
}

const control = (text: string) => Buffer.from(text)
const K64 = CHUNK_MAX_BYTES

describe("an outbox", () => {
  it("sends all frames of one turn of the loop in one write", async () => {
    const { box, writes, taken } = outbox()
    box.control(control("a"))
    box.control(control("b"))
    assert.deepEqual(writes, [])
    await nextTurn()
    assert.deepEqual(writes, [["a", "b"]])
    // While it is under way the next is gathered.
    box.control(control("c"))
    box.control(control("d"))
    await nextTurn()
    assert.equal(writes.length, 1)
    taken()
    assert.deepEqual(writes[1], ["c", "d"])
    taken()
    await box.empty()
  })

  it("lets control frames overtake chunks, and streams take turns", async () => {
    const { box, writes } = outbox()
    for (const stream of [1, 2]) {
      const outlet = box.open(stream, 0)
      outlet.credit(2 * K64)
      void outlet.send(bytes(2 * K64))
    }
    await nextTurn()
    box.control(control("kill"))
    await nextTurn()
    const [first] = writes
    assert.ok(first !== undefined)
    const chunks = first.filter(frame => frame.includes("@"))
    assert.equal(first[0], "kill")
    assert.deepEqual(chunks, [`1@0+${K64}`, `2@0+${K64}`, `1@${K64}+${K64}`, `2@${K64}+${K64}`])
  })

  it("sends no byte beyond the credit, and goes on when there is more", async () => {
    const { box, writes, taken } = outbox()
    const outlet = box.open(1, 10)
    const sent = outlet.send(bytes(K64))
    await nextTurn()
    assert.deepEqual(writes, [])
    outlet.credit(11)
    // A late credit takes nothing back.
    outlet.credit(10)
    await nextTurn()
    await nextTurn()
    assert.deepEqual(writes, [["1@10+1"]])
    taken()
    outlet.credit(10 + K64)
    await sent
    await nextTurn()
    await nextTurn()
    assert.deepEqual(writes[1], [`1@11+${K64 - 1}`, "1."])
    taken()
    await box.empty()
  })

  it("has less under way than the credit allows where it is told to, but as much as its receiver takes without a word", async () => {
    const { box, writes, taken } = outbox()
    const told: string[] = []
    const outlet = box.open(1, 0, {
      endOffset: 20 * K64,
      shareBytes: () => K64,
      sent: offset => told.push(`sent ${offset / K64}`),
      taken: offset => told.push(`taken ${offset / K64}`),
    })
    void outlet.send(bytes(20 * K64))
    let answered = 0
    /** The frames that are sent upon it. */
    const credit = async (chunks: number) => {
      const before = answered
      outlet.credit(chunks * K64)
      for (let turn = 0; turn < 8; turn++) {
        await nextTurn()
        for (; answered < writes.length; answered++) taken()
      }
      return writes.slice(before).flat().length
    }
    // Nothing is known of the receiver yet.
    assert.equal(await credit(8), 8)
    assert.deepEqual(told.slice(0, 2), ["taken 0", "sent 1"])
    // It took three before it said so, and may do that again.
    assert.equal(await credit(11), 0)
    assert.equal(told.at(-1), "taken 3")
    assert.equal(await credit(14), 1)
    // It speaks sooner, and the share is what counts.
    assert.equal(await credit(15), 0)
    assert.equal(await credit(17), 1)
    // Its last word: all the rest, and the end.
    assert.equal(await credit(20), 11)
    assert.equal(writes.at(-1)?.at(-1), "1.")
  })

  it("holds at most four chunks of a stream beside those under way, however much credit there is", async () => {
    const { box, accounted, taken, writes } = outbox()
    const outlet = box.open(1, 0)
    outlet.credit(Number.MAX_SAFE_INTEGER)
    void outlet.send(bytes(100 * K64)).catch(() => {})
    await nextTurn()
    await nextTurn()
    // What is under way, and what is read ahead.
    assert.ok(accounted() <= 8 * K64, `${accounted()} bytes`)
    taken()
    await nextTurn()
    assert.equal(writes.length, 2)
    assert.ok(box.bufferedBytes <= 8 * K64)
    box.close(new Error("enough"))
    assert.equal(accounted(), 0)
  })

  it("sends the end of a stream that had nothing to send", async () => {
    const { box, writes } = outbox()
    await box.open(9, 0).send(bytes(0))
    await nextTurn()
    assert.deepEqual(writes, [["9."]])
  })

  it("tells whoever waits for credit that the stream was given up, and sends nothing more of it", async () => {
    const { box, writes, accounted } = outbox()
    const outlet = box.open(1, 0)
    outlet.credit(K64)
    const sent = outlet.send(bytes(3 * K64))
    outlet.drop(new Error("cancelled"))
    await assert.rejects(sent, /cancelled/)
    await nextTurn()
    assert.deepEqual(writes, [])
    assert.equal(accounted(), 0)
  })

  it("says once when the other side does not keep up, and then lets go of everything", async () => {
    const { box, overflows, accounted } = outbox()
    const half = Buffer.alloc(CONTROL_QUEUE_MAX_BYTES / 2)
    box.control(half)
    box.control(half)
    assert.equal(overflows(), 0)
    const sent = box.open(1, 0).send(bytes(1))
    box.control(control("x"))
    box.control(control("x"))
    assert.equal(overflows(), 1)
    assert.equal(accounted(), 0)
    await assert.rejects(sent, /does not take/)
    await box.empty()
  })
})
