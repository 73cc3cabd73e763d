// cah resub --failed --into, through the whole command line and the library, against the fake hub.
import assert from "node:assert/strict"
import { after, before, beforeEach, describe, test } from "node:test"
import { status as Status } from "@grpc/grpc-js"
import { Outcome, Phase } from "../../proto/gen/cah/v1/job_pb.ts"
import { FakeHub, TOKEN } from "../fakehub.ts"
import { Hub } from "../library.ts"
import { inside, type Place, place } from "../spawning.ts"

const odd = (index: number) => (index % 2 === 0 ? {} : { outcome: Outcome.FAILED, exitCode: 1 })

describe("cah resub --into", () => {
  let hub: FakeHub
  let where: Place
  let id: bigint
  before(async () => {
    hub = await FakeHub.start()
    where = place(hub)
  })
  after(() => hub.stop())
  beforeEach(() => {
    id = hub.add({ name: "mended" }, 6, odd)
    hub.dependants = []
    hub.calls.splice(0)
  })

  const resub = (...args: string[]) => inside(where, ["resub", ...args])
  const failed = () =>
    hub.campaigns.get(id)?.jobs.filter(job => job.outcome === Outcome.FAILED && job.phase === Phase.ENDED)
  const resubmissions = () => hub.campaigns.get(id)?.campaign.totals?.resubmissions

  test("M5: queues the failed jobs of a campaign again, and says what waits for it again", async () => {
    hub.dependants = [13n, 14n]
    const done = await resub("--failed", "--into", String(id))
    assert.deepEqual(
      [done.code, done.stdout],
      [0, `3 jobs of campaign ${id} are queued again; campaigns 13, 14 wait for it again.\n`],
    )
    assert.match(done.stderr, new RegExp(`^Wait for it: cah wait ${id},13,14 {4}fetch its results: cah get ${id}\n$`))
    assert.deepEqual([failed()?.length, resubmissions(), hub.calls.includes("submit")], [0, 1n, false])
    const again = await resub("--failed", "--into", "@mended")
    assert.deepEqual([again.code, again.stdout], [6, ""])
    assert.match(again.stderr, /nothing to try again/i)
  })

  test("M5: takes some of the jobs, named before or after, and tells programs what became of them", async () => {
    hub.dependants = [13n]
    const one = await resub(`${id}.0-1`, "--failed", "--into", String(id), "-o", "json")
    const answer = { campaign: String(id), jobs: 1, existed: false, dependants: ["13"] }
    assert.deepEqual([one.code, JSON.parse(one.stdout)], [0, answer])
    const two = await resub("--failed", "--into", `${id}.3,${id}.5`)
    assert.match(two.stdout, /^2 jobs of campaign \d+ are queued again; campaign 13 waits for it again\.\n$/)
    const quiet = hub.add({}, 1, () => odd(1))
    assert.equal((await resub("--failed", "--into", "last", "-o", "quiet")).stdout, `${quiet}\n`)
  })

  test("M5: whose answer is lost asks again, and it is done once", async () => {
    hub.failNext("retryJobs", Status.UNAVAILABLE, "gone", { afterwards: true })
    const done = await resub("--failed", "--into", String(id))
    assert.equal(done.code, 0)
    assert.match(done.stdout, /were queued again already, by this call or by another meanwhile/)
    assert.deepEqual([hub.calls.filter(name => name === "retryJobs").length, resubmissions()], [2, 1n])
  })

  test("M5: is refused together with what changes the jobs, or when it is not clear which are meant", async () => {
    const other = hub.add({}, 2, odd)
    for (const [args, error] of [
      [["--into", String(id)], /only jobs that did not finish well[\s\S]*cah resub --failed --into/],
      [["--failed", "--into", String(id), "-l", "mem=6G"], /--into and --resource exclude each other/],
      [
        ["--failed", "--into", String(id), "--without", "retries", "--hold"],
        /--into and --without, --hold exclude each other/,
      ],
      [["--failed", "--into", String(id), "--idempotency-key", "k"], /--idempotency-key exclude/],
      [[`${other}.1`, "--failed", "--into", String(id)], /\.1 is not of that campaign/],
      [[`${id}.1`, "--failed", "--into", `${id}.1`], /takes a whole campaign/],
      [["--failed", "--into", `${id}.9`], /has no job/],
      [["--failed", "--into", "1-2"], /is not one campaign/],
      [["--failed"], /Which campaign, or which of its jobs/],
    ] as const) {
      const bad = await resub(...args)
      assert.deepEqual([bad.code, bad.stdout], [2, ""], args.join(" "))
      assert.match(bad.stderr, error)
    }
    assert.equal((await resub("--failed", "--into", "999")).code, 3)
    assert.deepEqual([failed()?.length, hub.calls.includes("retryJobs")], [3, false])
  })

  test("M5: is a call of the library, which looks by itself how often it was done", async () => {
    const library = new Hub({ url: hub.url, token: TOKEN })
    const { jobs, existed } = await library.retry(id, { ranges: [{ first: 1, last: 1 }] })
    const again = await library.retry(id, { seen: 0n })
    assert.deepEqual([jobs, existed, again.existed, resubmissions()], [1, false, true, 1n])
    library.close()
  })
})
