import assert from "node:assert/strict"
import { test } from "node:test"
import { CoreShares, parseCoreList } from "./cores.ts"

test("M6: jobs get processors that the fewest others have, and give them back", () => {
  const shares = new CoreShares(() => [0, 1, 2, 3])
  const one = shares.take(1)
  const two = shares.take(2)
  const three = shares.take(1)
  assert.deepEqual([one.list, two.list, three.list], [[0], [1, 2], [3]])
  two.release()
  assert.deepEqual(shares.take(2).list, [1, 2])
  assert.deepEqual(shares.take(1).list, [0], "more jobs than processors: they share")
})

test("M6: who has as many slots as there are processors is bound to none, and an agent that is bound itself gives only its own", () => {
  assert.equal(new CoreShares(() => [0, 1]).take(2).list, null)
  assert.equal(new CoreShares(() => []).take(1).list, null)
  let own = [2, 3, 4]
  const shares = new CoreShares(() => own)
  assert.deepEqual(shares.take(1).list, [2])
  own = [6, 7]
  assert.deepEqual(shares.take(1).list, [6], "as it is bound now")
})

test("a list of processors as the kernel writes it", () => {
  assert.deepEqual(parseCoreList("0-2,5,8-9"), [0, 1, 2, 5, 8, 9])
  assert.deepEqual(parseCoreList(""), [])
})
