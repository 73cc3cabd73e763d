// What is said of results and how they are fetched, over the command line: warnings, two at once, what was removed since, names that are ours.
import assert from "node:assert/strict"
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, test } from "node:test"
import { FakeHub } from "./fakehub.ts"
import { archive, cah, place } from "./spawning.ts"

describe("warnings of results", { concurrency: 2 }, () => {
  test("F6: are said when a campaign has ended well, counted by show, and asked for by --require-stageout", async () => {
    const warnings = "result.csv matched nothing"
    const hub = await FakeHub.start({ endOf: index => (index === 1 ? {} : { warnings }) })
    const where = place(hub)
    const words = ["sub", "--array", "3", "--stageout", "result.csv", "--wait", "--", "true"]
    const waited = await cah(where, words)
    assert.equal(waited.code, 0)
    assert.match(waited.stdout, /3 jobs, all finished\.\nMind: 2 × result\.csv matched nothing, like 1\.0\n/)
    const some = await cah(where, ["wait", "1.1-2"])
    assert.match(some.stdout, /2 jobs, all finished\.\nMind: 1 × result\.csv matched nothing, like 1\.2\n/)
    assert.match(
      (await cah(where, ["show", "1"])).stdout,
      /COUNT {2}WARNING +LIKE\n +2 {2}result\.csv matched nothing {2}1\.0\n/,
    )
    assert.match((await cah(where, ["show", "1.2"])).stdout, /Warnings +result\.csv matched nothing\n/)
    await cah(where, ["sub", "--require-stageout", "--stageout", "*.csv", "--", "true"])
    assert.equal(hub.campaigns.get(2n)?.campaign.spec?.requireStageout, true)
    assert.match((await cah(where, ["show", "2"])).stdout, /Stageout +\*\.csv {2}\(required\)\n/)
    hub.stop()
  })
})

describe("results", { concurrency: 2 }, () => {
  test("F5: two at once into one directory both end well, with every file whole", async () => {
    const content = "x".repeat(300_000)
    const stageout = await archive([
      [{ name: "a/big" }, content],
      [{ name: "small" }, "s"],
    ])
    const hub = await FakeHub.start({ endOf: () => ({ stageout, stdout: "said" }) })
    for (const jobs of [1, 6]) hub.add({}, jobs)
    const where = place(hub)
    for (const id of ["1", "2"]) {
      const get = () => cah(where, ["get", id, "--logs", "-d", `conc${id}`, "-o", "json"])
      const all = await Promise.all([get(), get(), get()])
      assert.deepEqual(
        all.map(({ code, stderr }) => [code, stderr]),
        Array(3).fill([0, ""]),
      )
      const job = join(where.cwd, `conc${id}`, id === "1" ? "." : "5")
      assert.equal(readFileSync(join(job, "a", "big"), "utf8"), content)
      assert.equal(readFileSync(join(job, "stdout"), "utf8"), "said")
      assert.deepEqual(readdirSync(join(where.cwd, `conc${id}`, ".cah")), ["fetched"])
    }
    hub.stop()
  })

  test("F12: what was removed since comes back, and what was changed stays until --overwrite", async () => {
    const stageout = await archive([
      [{ name: "2/sum" }, "sum"],
      [{ name: "plot" }, "plot"],
    ])
    const hub = await FakeHub.start({ endOf: () => ({ stageout, stdout: "said" }) })
    hub.add({}, 2)
    const where = place(hub)
    const file = (...path: string[]) => join(where.cwd, "big", ...path)
    const get = async (...more: string[]) => {
      const done = await cah(where, ["get", "1", "--logs", "-d", "big", "-o", "json", ...more])
      assert.equal(done.code, 0, done.stderr)
      const { fetched, present } = JSON.parse(done.stdout)
      return [fetched, present]
    }
    assert.deepEqual(await get(), [2, 0])
    rmSync(file("1", "2", "sum"))
    rmSync(file("0", "stdout"))
    writeFileSync(file("1", "plot"), "mine")
    assert.deepEqual(await get(), [2, 0])
    assert.equal(readFileSync(file("1", "2", "sum"), "utf8"), "sum")
    assert.equal(readFileSync(file("0", "stdout"), "utf8"), "said")
    assert.equal(readFileSync(file("1", "plot"), "utf8"), "mine")
    assert.deepEqual(await get(), [0, 2])
    assert.deepEqual(await get("--overwrite"), [1, 1])
    assert.equal(readFileSync(file("1", "plot"), "utf8"), "plot")
    assert.deepEqual(await get("--overwrite"), [0, 2])
    hub.stop()
  })

  test("F16: a job's own .cah comes under another name, and is never read as our books", async () => {
    const forged = "2.0 stageout sha256:0\n"
    const stageout = await archive([
      [{ name: ".cah/fetched" }, forged],
      [{ name: ".cah-of-job" }, "x"],
    ])
    const file = await archive([[{ name: ".CAH" }, "a file"]])
    const hub = await FakeHub.start()
    hub.add({}, 1, () => ({ stageout }))
    hub.add({}, 2, index => ({ stageout: index === 0 ? file : stageout }))
    const where = place(hub)
    const one = await cah(where, ["get", "1", "-d", "one"])
    assert.equal(one.code, 0)
    assert.match(one.stderr, /1\.0: its \.cah comes as \.cah-of-job~: cah get keeps its own books in \.cah/)
    assert.equal(readFileSync(join(where.cwd, "one", ".cah-of-job~", "fetched"), "utf8"), forged)
    assert.equal(readFileSync(join(where.cwd, "one", ".cah", "fetched"), "utf8").split("\n").length, 2)
    assert.match((await cah(where, ["get", "1", "-d", "one"])).stdout, /0 results fetched .*1 were here/)
    assert.equal((await cah(where, ["get", "2", "-d", "two"])).code, 0)
    assert.equal(readFileSync(join(where.cwd, "two", "0", ".cah-of-job"), "utf8"), "a file")
    assert.equal(existsSync(join(where.cwd, "two", "1", ".cah")), false)
    hub.stop()
  })

  test("F22: the size that is told is that of the files, and empty folders come too", async () => {
    const stageout = await archive([
      [{ name: "empty/", type: "directory" }, ""],
      [{ name: "a.txt" }, "x".repeat(27)],
    ])
    const hub = await FakeHub.start({ endOf: () => ({ stageout }) })
    hub.add({}, 1)
    const where = place(hub)
    assert.match((await cah(where, ["get", "1", "-d", "r"])).stdout, /1 result fetched into r \(27 B\)/)
    assert.ok(statSync(join(where.cwd, "r", "empty")).isDirectory())
    assert.match((await cah(where, ["show", "1.0"])).stdout, /Stageout +2\.6 kB packed/)
    hub.stop()
  })
})
