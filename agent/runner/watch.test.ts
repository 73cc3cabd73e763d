// What holds a job to what it may have where the kernel does not: limits of each process, and the agent that looks at the sums. Real processes.
import assert from "node:assert/strict"
import { existsSync, linkSync, mkdirSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { scratch } from "../fixtures.ts"
import { openRunners } from "./fixtures.ts"
import { closeInherited } from "./processes.ts"
import { diskUse } from "./watch.ts"

closeInherited()
const { runners, begin } = await openRunners()
const MiB = 1024 ** 2
const needs = { slots: 1, memoryBytes: 0, diskBytes: 0 }
const python = "/usr/bin/python3"

for (const [kind, runner, skip] of runners) {
  const needsPython = { skip: skip || (!existsSync(python) && "Debian's python3 is not installed") }

  test(`S23: ${kind}, one process cannot set aside far more memory than its job asked for`, needsPython, async () => {
    const run = await begin(runner, {
      command: [`${python} -c 'bytearray(900 * 1024 * 1024)'`],
      needs: { ...needs, memoryBytes: 200 * MiB },
    })
    assert.equal((await run.ended).exitCode, 1)
    assert.match(run.output.stderr, /MemoryError/)
  })

  test(
    `S23: ${kind}, several that together use more than was asked for are ended, and it is said`,
    needsPython,
    async () => {
      const hold = `${python} -c 'x = bytearray(60 * 1024 * 1024); import time; time.sleep(60)'`
      const run = await begin(runner, {
        command: [`${hold} & ${hold} & ${hold} & wait`],
        needs: { ...needs, memoryBytes: 100 * MiB },
      })
      const exit = await run.ended
      assert.equal(exit.exitCode, 137)
      assert.match(
        exit.message,
        /used more than the 104857600 bytes of memory that it asked for; ask for more with -l mem/,
      )
    },
  )

  test(`S23: ${kind}, a job of too many processes is ended, or gets no more of them`, { skip }, async () => {
    const many = "i=0; while [ $i -lt 400 ]; do sleep 60 & i=$((i+1)); done; echo begun; wait"
    const run = await begin(runner, { command: [many], needs })
    const exit = await run.ended
    assert.notEqual(exit.exitCode, 0)
    assert.match(
      `${exit.message}${run.output.stderr}`,
      /more than 256 processes and threads|Cannot fork|Resource temporarily/,
    )
  })

  test(`S23: ${kind}, files that are each small enough, and together not, end the job`, { skip }, async () => {
    const files = "for i in 1 2 3 4 5; do head -c 3000000 /dev/urandom > f$i; done; echo written; sleep 60"
    const run = await begin(runner, { command: [files], needs: { ...needs, diskBytes: 8_000_000 } })
    await run.said("written")
    const exit = await run.ended
    assert.equal(exit.exitCode, 137)
    assert.match(
      exit.message,
      /working directory took more than the 8000000 bytes of disk that it asked for; .* -l disk/,
    )
  })
}

test("S23: a directory is summed up as it lies on the disk: names of one file once, holes not, empty files all the same", async () => {
  const root = scratch()
  mkdirSync(join(root, "below"))
  writeFileSync(join(root, "below", "file"), Buffer.alloc(100_000, 1))
  const whole = await diskUse(root, Number.MAX_SAFE_INTEGER, () => false)
  assert.ok(whole >= 100_000 && whole < 130_000, `${whole}`)
  linkSync(join(root, "below", "file"), join(root, "again"))
  assert.equal(await diskUse(root, Number.MAX_SAFE_INTEGER, () => false), whole)
  writeFileSync(join(root, "holes"), "")
  truncateSync(join(root, "holes"), 1e9)
  assert.ok((await diskUse(root, Number.MAX_SAFE_INTEGER, () => false)) < whole + 10_000)
  for (let i = 0; i < 100; i++) writeFileSync(join(root, `empty${i}`), "")
  assert.ok((await diskUse(root, Number.MAX_SAFE_INTEGER, () => false)) >= whole + 100 * 1_024)
})
