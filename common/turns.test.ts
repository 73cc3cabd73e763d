import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { FairTurns, Turns } from "./turns.ts"

describe("turns of one name", () => {
  it("come one at a time in order of asking, each name for itself, and go on after work that failed", async () => {
    const turns = new Turns()
    const order: string[] = []
    let finish = (): void => {}
    const first = turns.take("a", () => new Promise<void>(resolve => (finish = resolve)))
    const failed = turns.take("a", async () => {
      order.push("second")
      throw new Error("no")
    })
    const third = turns.take("a", async () => order.push("third"))
    await turns.take("b", async () => order.push("other"))
    assert.deepEqual(order, ["other"])
    finish()
    await first
    await assert.rejects(failed, /no/)
    await third
    assert.deepEqual(order, ["other", "second", "third"])
  })
})

describe("turns of all", () => {
  it("S8: an honest login waits for one of another's 100, not for all of them", async () => {
    const turns = new FairTurns(100, () => new Error("too many"))
    const order: string[] = []
    const results: Promise<unknown>[] = []
    const ask = (name: string) =>
      results.push(
        turns.take(name, async () => void order.push(name)).catch((error: Error) => order.push(error.message)),
      )
    for (let n = 0; n < 130; n++) ask("guesser")
    ask("ada")
    ask("otto")
    await Promise.all(results)
    const served = order.filter(name => name !== "too many")
    assert.deepEqual(served.slice(0, 4), ["guesser", "guesser", "ada", "otto"])
    // One at work, a hundred waiting; of the guesser's own two more gave way to the others.
    assert.equal(served.length, 101)
    assert.equal(served.filter(name => name === "guesser").length, 99)
  })

  it("goes on after work that failed", async () => {
    const turns = new FairTurns(1, () => new Error("too many"))
    const failed = turns.take("a", () => Promise.reject(new Error("no")))
    const next = turns.take("a", async () => "yes")
    await assert.rejects(failed, /no/)
    assert.equal(await next, "yes")
    assert.equal(await turns.take("b", async () => 1), 1)
  })
})
