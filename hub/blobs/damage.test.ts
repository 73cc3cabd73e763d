import assert from "node:assert/strict"
import { it } from "node:test"
import { digestOf } from "../../proto/wire/digest.ts"
import { Damage } from "./damage.ts"

const [one, two] = [1, 2].map(byte => digestOf(new Uint8Array(32).fill(byte)))

it("counts each lost blob once until it is healed, and tells each new count", () => {
  const told: number[] = []
  const damage = new Damage(count => told.push(count))
  damage.found(one!)
  damage.found(two!)
  damage.found(one!)
  damage.healed(one!)
  damage.healed(one!)
  assert.equal(damage.count, 1)
  assert.deepEqual(told, [1, 2, 2, 1])
})
