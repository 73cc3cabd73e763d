import assert from "node:assert/strict"
import { test } from "node:test"
import { setImmediate as nextTurn } from "node:timers/promises"
import { LinkPipe } from "./pipe.ts"

test("what is said to agents in a turn is written before that turn's promises go on", async () => {
  const pipe = new LinkPipe({} as never, {} as never, {} as never)
  const order: string[] = []
  setImmediate(() => {
    void Promise.resolve().then(() => order.push("an answer is made"))
    pipe.later(() => order.push("frames are written"))
    order.push("all is said")
  })
  while (order.length < 3) await nextTurn()
  assert.deepEqual(order, ["all is said", "frames are written", "an answer is made"])
})
