import assert from "node:assert/strict"
import { test } from "node:test"
import { create } from "@bufbuild/protobuf"
import { status as Status } from "@grpc/grpc-js"
import { CampaignSchema, CountsSchema, Outcome } from "../proto/gen/cah/v1/job_pb.ts"
import { ErrorSummarySchema } from "../proto/gen/cah/v1/scientist_pb.ts"
import { ClientError, exitCodes, fromStatus, isTransient } from "./errors.ts"
import { type Ended, verdict } from "./waiting.ts"

const hub = "https://hub.example"
const of = (code: number, details: string) => fromStatus({ code, details }, hub, null)

test("the exit codes are the contract that scripts rely on", () => {
  assert.deepEqual(
    [...new Set(Object.values(exitCodes))].sort((a, b) => a - b),
    [1, 2, 3, 4, 5, 6, 7, 124, 130],
  )
})

test("the reason of a failed connection is dug out of what grpc-js wraps around it", () => {
  const wrapped = "No connection established. Last error: connect ECONNREFUSED 127.0.0.1:1. Resolution note: "
  assert.equal(of(Status.UNAVAILABLE, wrapped).message, `The hub at ${hub} does not answer: connection refused.`)
  assert.match(of(Status.DEADLINE_EXCEEDED, "Deadline exceeded").message, /did not answer in time/)
})

test("a hub that says why it cannot is not called silent, and is asked again", () => {
  const details = "the hub can't write to its disk now (full)%3A try again later"
  const said = { reason: null, isFinal: false }
  const error = fromStatus({ code: Status.UNAVAILABLE, details }, hub, null, null, said)
  assert.equal(error.message, "the hub can't write to its disk now (full): try again later")
  assert.equal(error.exitCode, 5)
  assert.ok(isTransient(error))
})

test("what a hub said before its errors had details is shown as it is, and nothing is read out of it", () => {
  const error = of(Status.UNAVAILABLE, "the hub is stopping%3A try again in a minute")
  assert.equal(error.message, `The hub at ${hub} does not answer: the hub is stopping: try again in a minute.`)
  assert.equal(of(Status.FAILED_PRECONDITION, "no node can ever run it").reason, null)
})

test("waiting is no advice where the hub says that it can never go well", () => {
  const hintOf = (isFinal: boolean) => {
    const status = { code: Status.RESOURCE_EXHAUSTED, details: "too large" }
    return fromStatus(status, hub, null, null, { reason: null, isFinal }).hint
  }
  assert.equal(hintOf(true), "")
  assert.match(hintOf(false), /Wait until/)
})

test("what a second try cannot mend is not tried again", () => {
  for (const details of [
    "Last error: self-signed certificate",
    "Last error: Hostname/IP does not match certificate's altnames",
    "Name resolution failed for target dns:x: getaddrinfo ENOTFOUND x",
  ]) {
    assert.equal(isTransient(of(Status.UNAVAILABLE, details)), false, details)
  }
  assert.equal(isTransient(of(Status.NOT_FOUND, "no")), false)
  for (const status of [Status.UNAVAILABLE, Status.CANCELLED, Status.DEADLINE_EXCEEDED])
    assert.ok(isTransient(of(status, "cut")))
  assert.ok(isTransient(of(Status.INTERNAL, "Received RST_STREAM with code 2")))
})

test("a hub's message is read with all its characters, which grpc-js leaves half encoded", () => {
  assert.equal(of(Status.NOT_FOUND, "no campaign 99%3A see %2Fx%3F a%26b").message, "no campaign 99: see /x? a&b")
  assert.equal(of(Status.NOT_FOUND, "100%20% %zz").message, "100%20% %zz")
})

test("what nobody foresaw is our own defect, and a failed system call is not", () => {
  assert.match(ClientError.from(new TypeError("x is not a function")).message, /cah itself failed/)
  assert.equal(
    ClientError.from(Object.assign(new Error("ENOSPC: no space"), { code: "ENOSPC", syscall: "write" })).code,
    "local",
  )
})

function ended(
  counts: { finished?: number; failed?: number; cancelled?: number },
  errors: { outcome: Outcome; count: number; message: string; exitCode?: number }[],
): Ended {
  const { finished = 0, failed = 0, cancelled = 0 } = counts
  const total = finished + failed + cancelled
  return {
    target: { campaign: 12n, ranges: null },
    campaign: create(CampaignSchema, { id: 12n, counts: create(CountsSchema, { ...counts, total }) }),
    jobs: total,
    unwell: failed + cancelled,
    errors: errors.map((error, index) => create(ErrorSummarySchema, { ...error, example: { campaign: 12n, index } })),
    warnings: [],
  }
}

test("the verdict names the first three errors and what to type next", () => {
  assert.equal(verdict([ended({ finished: 2 }, [])]), null)
  const errors = [1, 4, 3, 2].map(count => ({ outcome: Outcome.FAILED, exitCode: 1, count, message: `m${count}` }))
  const error = verdict([ended({ finished: 1, failed: 10 }, errors)])
  assert.equal(error?.message, "Campaign 12: 10 of 11 jobs did not finish well.")
  assert.deepEqual(error?.hint.split("\n"), [
    "4 × failed, exit 1: m4, like 12.1",
    "3 × failed, exit 1: m3, like 12.2",
    "2 × failed, exit 1: m2, like 12.3",
    "and 1 other error",
    "See why: cah logs 12.1 --stderr    cah show 12.1",
  ])
})

test("cancelled jobs are counted, and no log of theirs is recommended", () => {
  assert.equal(verdict([ended({ cancelled: 3 }, [])])?.hint, "3 × cancelled\nSee why: cah show 12")
})

test("F15: a verdict names the campaigns that it counts, the cause that is known, and what will show it", () => {
  const other = { ...ended({ finished: 5 }, []), target: { campaign: 3n, ranges: null } }
  assert.equal(verdict([other, ended({ failed: 2 }, [])])?.message, "Campaign 12: 2 of 2 jobs did not finish well.")
  const third = { ...ended({ failed: 1, finished: 1 }, []), target: { campaign: 4n, ranges: null } }
  assert.equal(
    verdict([other, ended({ failed: 2 }, []), third])?.message,
    "2 campaigns (12, 4): 3 of 4 jobs did not finish well.",
  )
  const hintOf = (outcome: Outcome, exitCode: number, message: string) =>
    verdict([ended({ failed: 1 }, [{ outcome, exitCode, count: 1, message }])])?.hint ?? ""
  assert.match(hintOf(Outcome.TIMEDOUT, 137, ""), /Timed out: it was ended at its walltime[\s\S]*--walltime/)
  assert.doesNotMatch(hintOf(Outcome.TIMEDOUT, 137, ""), /memory/)
  assert.match(hintOf(Outcome.FAILED, 137, "ended by SIGKILL"), /by itself or for want of memory/)
  assert.doesNotMatch(hintOf(Outcome.FAILED, 137, "it ran out of memory: 1 GB"), /Exit 137/)
  assert.match(hintOf(Outcome.FAILED, 127, "mp.py: command not found on this node"), /begin it as \.\/NAME/)
  assert.match(hintOf(Outcome.FAILED, 0, "not returned: a: a link"), /See why: cah show 12\.0$/)
})

test("F21: what the system says is said in words, with what to do", () => {
  const of = (code: string, path?: string) =>
    ClientError.from(
      Object.assign(new Error(code), { code, syscall: "write", ...(path === undefined ? {} : { path }) }),
    )
  assert.deepEqual(
    [of("ENOSPC", "/tmp/x").message, of("ENOSPC").message],
    ["There is no space left: /tmp/x (ENOSPC).", "There is no space left (ENOSPC)."],
  )
  for (const code of ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "ENOENT", "EMFILE", "EIO"]) {
    assert.notEqual(of(code).hint, "", code)
    assert.equal(of(code).exitCode, 1)
  }
  assert.equal(of("ESTRANGE").message, "ESTRANGE")
})

test("O15: another CA is advised only where one would help", () => {
  const advice = (details: string, caFile: string | null = null) =>
    fromStatus({ code: Status.UNAVAILABLE, details: `Last error: ${details}` }, hub, null, caFile).hint
  assert.match(advice("self-signed certificate in certificate chain"), /name it with --ca-file FILE/)
  assert.match(advice("unable to get local issuer certificate", "ca.pem"), /ca\.pem does not vouch for it/)
  assert.match(advice("Hostname/IP does not match certificate's altnames"), /is for another name/)
  assert.match(advice("certificate has expired"), /renew it/)
  assert.doesNotMatch(advice("certificate has expired") + advice("certificate is not yet valid"), /--ca-file/)
})
