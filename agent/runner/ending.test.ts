// How commands end that were asked to: with what their programs do then, and how long all of them may take. Real processes.
import assert from "node:assert/strict"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { openRunners } from "./fixtures.ts"
import { closeInherited } from "./processes.ts"

closeInherited()
const { runners, begin, place } = await openRunners()

/** Saves what it has a while after it was asked to end, as simulations do. */
const trap = `trap 'sleep 0.7; echo saved > ckpt; exit 0' TERM; echo ready; while :; do sleep 0.05; done\n`

for (const [kind, runner, skip] of runners) {
  const real = { skip }

  test(
    `F4: ${kind}, a program below the shell has the grace to itself, though the shell ends at once`,
    real,
    async () => {
      const run = await begin(runner, { command: ["sh trap.sh; echo after"] }, { "trap.sh": trap })
      await run.said("ready")
      const askedMs = performance.now()
      run.stop(60_000)
      const exit = await run.ended
      assert.equal(readFileSync(join(run.work, "ckpt"), "utf8"), "saved\n")
      assert.notEqual(exit.exitCode, 0, "the shell was ended by the signal")
      assert.ok(performance.now() - askedMs < 30_000, "and nobody waits for the rest of the grace")
    },
  )

  test(
    `F4: ${kind}, a program in the background and in a session of its own is asked as well, and waited for`,
    real,
    async () => {
      const run = await begin(
        runner,
        { command: ["setsid sh trap.sh & sh -c 'while :; do sleep 0.05; done'"] },
        { "trap.sh": trap },
      )
      await run.said("ready")
      run.stop(60_000)
      await run.ended
      assert.ok(existsSync(join(run.work, "ckpt")))
    },
  )

  test(
    `F4: ${kind}, what ignores it is killed when the grace is over, and the command's own end is what is told`,
    real,
    async () => {
      const stubborn = `trap '' TERM; echo ready; while :; do sleep 0.05; done\n`
      const run = await begin(
        runner,
        { command: ["sh stubborn.sh & trap 'exit 9' TERM; while :; do sleep 0.05; done"] },
        { "stubborn.sh": stubborn },
      )
      await run.said("ready")
      run.stop(500)
      assert.equal((await run.ended).exitCode, 9)
      assert.equal(await runner.killLeftovers(place.root), 0, "nothing is left")
    },
  )

  test(`F4: ${kind}, a helper that a program begins in order to save is not asked to end itself`, real, async () => {
    const saving = `trap 'sh -c "sleep 0.3; echo whole > ckpt"; exit 0' TERM; echo ready; while :; do sleep 0.05; done\n`
    const run = await begin(runner, { command: ["sh save.sh"] }, { "save.sh": saving })
    await run.said("ready")
    run.stop(60_000)
    await run.ended
    assert.equal(readFileSync(join(run.work, "ckpt"), "utf8"), "whole\n")
  })
}
