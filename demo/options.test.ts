import assert from "node:assert/strict"
import { test } from "node:test"
import { parseOptions, UsageError } from "./options.ts"

test("without arguments the small campaign runs: 36 frames of 320x180 on 3 agents", () => {
  const options = parseOptions([])
  assert.ok(options !== "help")
  const { frames, width, height, agents, kills } = options
  assert.deepEqual(
    { frames, width, height, agents, kills },
    { frames: 36, width: 320, height: 180, agents: 3, kills: 0 },
  )
  assert.ok(options.slots >= 1)
})

test("the thesis's campaign can be asked for", () => {
  const options = parseOptions(["--frames", "720", "--size", "1280x720", "--agents", "4", "--slots", "2"])
  assert.ok(options !== "help")
  assert.deepEqual(
    [options.frames, options.width, options.height, options.agents, options.slots],
    [720, 1280, 720, 4, 2],
  )
})

for (const wrong of [
  ["--frames", "0"],
  ["--frames", "many"],
  ["--frames", "1e3"],
  ["--size", "big"],
  ["--size", "0x0"],
  ["--agents", "-1"],
  ["--slots", "0"],
  ["--kill-hub", "36"],
  ["--colour"],
  ["frames"],
]) {
  test(`\`${wrong.join(" ")}\` is refused with the flag in the message`, () => {
    assert.throws(
      () => parseOptions(wrong),
      (error: unknown) => error instanceof UsageError && error.message.includes(wrong[0] ?? ""),
    )
  })
}
