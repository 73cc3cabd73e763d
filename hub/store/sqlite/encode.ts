// A Write as steps: names of statements and flat parameters. Made on the hub's thread, carried out on the writer's:
// flat values cross between threads several times faster than rows with stories in them, and the writer need not know
// what a job is. It must not touch a database.
import type { Digest } from "../../../proto/wire/digest.ts"
import { hexOf } from "../../../proto/wire/digest.ts"
import type { BlobRef, Result } from "../../core/model.ts"
import type { CampaignRow, Holding, JobRow, NodeRow, ResultRow, RowWrite, Write } from "../../core/rows.ts"
import { whyNumber } from "../../core/why.ts"
import { ATTEMPTS_KEPT, PARAMETER_PAGE_BYTES, PARAMETER_PAGE_LINES } from "../../limits.ts"
import { retries, retrySteps } from "./encode-retries.ts"
import { encodeVolunteer, volunteerStatements } from "./encode-volunteers.ts"
import { storyText, triesText } from "./journal.ts"
import { insert, insertWith, own, replaced, type Value } from "./statement.ts"

/** A statement and the values of its parameters, in order. */
export type Step = readonly [statement: StatementName, values: readonly Value[]]

const jobColumns = "campaign, idx, phase, outcome, verdict, attempt, node, failures, losses, story, tries"

const plainColumns = `campaign, idx, attempt, node, outcome, exit_code, stdout_inline, stderr_inline,
  run_ms, cpu_ms, peak_memory_bytes, stored_at`
const jobsOwnColumns = "verdict, last_attempt, failures, losses, story"
const otherColumns = "message, warnings, stdout_dropped_bytes, stderr_dropped_bytes"

/** All that the writer ever runs. Prepared once per handle. */
export const statements = {
  campaign: insert(
    "campaigns",
    `id, owner, key, spec_digest, name, spec, slots, memory_bytes, disk_bytes, walltime_ms,
     priority, total, has_parameters, submitted_at, rules, project`,
    "ON CONFLICT (id) DO NOTHING",
  ),
  progress: insert(
    "progress",
    "campaign, cursor, counts, ended_at, held, waits_for, totals, told",
    replaced("campaign", "cursor, counts, ended_at, held, waits_for, totals, told"),
  ),
  parameters: insert("parameters", "campaign, first, count, lines"),
  job: insert(
    "jobs",
    jobColumns,
    replaced("campaign, idx", "phase, outcome, verdict, attempt, node, failures, losses, story, tries"),
  ),
  cancelled: insert("cancelled", "campaign, first, count, at, why"),
  result: insert("results", `${plainColumns}, ${otherColumns}, accepted`),
  // A job that ended, and its result: one row.
  ended: insertWith({ accepted: "1" }, "results", `${plainColumns}, ${jobsOwnColumns}, ${otherColumns}`),
  // Mostly it has no message: fewer values on their way (npm run bench -- --only noop).
  endedPlain: insertWith({ accepted: "1" }, "results", `${plainColumns}, ${jobsOwnColumns}`),
  trimResults: `DELETE FROM results WHERE campaign = ? AND idx = ? AND accepted = 0 AND attempt NOT IN
    (SELECT attempt FROM results WHERE campaign = ? AND idx = ? AND accepted = 0
     ORDER BY attempt DESC LIMIT ${ATTEMPTS_KEPT})`,
  // Referring to a blob makes its row if the collector has just taken it: whoever names one has asked the blob store for it, which
  // keeps the file.
  blobNamed: insert("blobs", "digest, size_bytes, named, used_at", "ON CONFLICT DO NOTHING"),
  reference: insert("blob_references", "digest, role, owner, campaign, idx, attempt"),
  ...retries,
  missed: insert("missed", "campaign, first, count, needed"),
  forgetMissed: "DELETE FROM missed WHERE campaign = ?",
  dropJob: "DELETE FROM jobs WHERE campaign = ? AND idx = ?",
  journal: insert("journal", "seq, jobs"),
  clearJournal: "DELETE FROM journal WHERE seq <= ?",
  node: insert(
    "nodes",
    `id, account, name, public_key, agent_version, boot_id, epoch, slots, memory_bytes, disk_bytes, properties,
     drained, revoked, last_seen_at, presence, quarantine, host, network`,
    replaced(
      "id",
      `account, name, public_key, agent_version, boot_id, epoch, slots, memory_bytes, disk_bytes, properties,
       drained, revoked, last_seen_at, presence, quarantine, host, network`,
    ),
  ),
  usage: insert(
    "usage",
    "owner, project, best_effort, core_seconds, at",
    replaced("owner, project, best_effort", "core_seconds, at"),
  ),
  share: insert("shares", "owner, share", replaced("owner", "share")),
  noShare: "DELETE FROM shares WHERE owner = ?",
  // It may be forgotten while it is being told: then there is nothing to note.
  notice: `INSERT INTO notices (campaign, occasion, target, at, tries, next_at, trouble, done_at)
    SELECT * FROM (SELECT ? AS campaign, ?, ?, ?, ?, ?, ?, ?)
    WHERE campaign IN (SELECT campaign FROM progress WHERE forgotten_at IS NULL)
    ${replaced("campaign, occasion, target", "at, tries, next_at, trouble, done_at")}`,
  forgetNode: "DELETE FROM nodes WHERE id = ?",
  forgetEnrolments: "DELETE FROM enrolments WHERE expires_at < ?",
  disownBlob: `DELETE FROM blob_references INDEXED BY blob_references_of_owner
    WHERE owner = ? AND digest = ? AND role = 'uploaded' AND campaign IS NULL`,
  forget: "UPDATE progress SET forgotten_at = ? WHERE campaign = ? AND ended_at IS NOT NULL AND forgotten_at IS NULL",
  // Its key may be used again; keys that people give hold no control character.
  freeKey: "UPDATE campaigns SET key = char(1) || id WHERE id = ?",
  clock: "INSERT OR REPLACE INTO meta VALUES ('wall_ms', CAST(? AS INTEGER))",
  // Numbers of campaigns are never given twice.
  keepNumber: `INSERT OR REPLACE INTO meta
    SELECT 'last_campaign', max(max(id), coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'last_campaign'), 0))
    FROM campaigns`,
  ...sweeps("SELECT min(campaign) FROM progress INDEXED BY progress_forgotten WHERE forgotten_at IS NOT NULL"),
  blob: `INSERT INTO blobs (digest, size_bytes, named, used_at) VALUES (?, ?, 0, ?) ${replaced("digest", "used_at")}`,
  blobOwner: insert("blob_references", "digest, role, owner", "ON CONFLICT DO NOTHING"),
  blobUsed: "UPDATE blobs SET used_at = ? WHERE digest = ?",
  forgetBlob: "DELETE FROM blobs WHERE digest = ? AND named = 0 AND used_at < ?",
  token: insert(
    "tokens",
    "id, hash, principal, scopes, created_at, expires_at, revoked_at, last_used_at",
    replaced("id", "hash, principal, scopes, created_at, expires_at, revoked_at, last_used_at"),
  ),
  forgetToken: "DELETE FROM tokens WHERE id = ?",
  enrolment: insert(
    "enrolments",
    "id, hash, account, uses_left, expires_at, launch",
    replaced("id", "hash, account, uses_left, expires_at, launch"),
  ),
  ...volunteerStatements,
} as const

export type StatementName = keyof typeof statements

/** A page of what the first forgotten campaign has left, and the campaign itself when it has nothing left. */
function sweeps(first: string) {
  const page = (table: string, key: string) =>
    `DELETE FROM ${table} WHERE campaign = (${first})
     AND ${key} IN (SELECT ${key} FROM ${table} WHERE campaign = (${first}) LIMIT ?)`
  const isEmpty = (table: string) => `NOT EXISTS (SELECT 1 FROM ${table} WHERE campaign = (${first}))`
  return {
    sweepResults: page("results", "idx"),
    sweepJobs: page("jobs", "idx"),
    sweepParameters: page("parameters", "first"),
    sweepCampaign: `DELETE FROM campaigns WHERE id = (${first})
      AND ${["results", "jobs", "parameters"].map(isEmpty).join(" AND ")}`,
  }
}

/** `isStored` spares the specification's bytes the way when the campaign has its row already. */
export function encode(write: Write, wallMs: number, isStored: (campaign: CampaignRow) => boolean): Step[] {
  switch (write.kind) {
    case "campaign": {
      const { row } = write
      const waitsFor = JSON.stringify(row.waitsFor.map(({ campaign, success }) => [campaign, success]))
      const { id, cursor, endedAt, held } = row
      const [counts, totals, told] = [row.counts, row.totals, row.told].map(part => JSON.stringify(part)) as [
        string,
        string,
        string,
      ]
      const progress: Step = ["progress", [id, cursor, counts, endedAt, held ? 1 : 0, waitsFor, totals, told]]
      return isStored(row) ? [progress] : [["campaign", campaignValues(row)], progress, ...stageinSteps(row)]
    }
    case "parameters":
      return pagesOf(write.lines, write.first).map(page => [
        "parameters",
        [write.campaign, page.first, page.lines.length, JSON.stringify(page.lines)],
      ])
    case "job":
      return [["job", jobValues(write.row)]]
    case "cancelledRange": {
      const { first, last } = write.range
      return [["cancelled", [write.campaign, first, last - first + 1, wallMs, whyNumber(write.why)]]]
    }
    case "retry":
      return retrySteps(write)
    case "missed": {
      const { campaign, needed, ranges } = write
      const insertions = ranges.map(({ first, last }): Step => ["missed", [campaign, first, last - first + 1, needed]])
      return [["forgetMissed", [campaign]], ...insertions]
    }
    case "result":
      return resultSteps(write.row, wallMs)
    case "node":
      return [["node", nodeValues(write.row)]]
    case "forgetNode":
      return [["forgetNode", [write.node]]]
    case "forgetEnrolments":
      return [["forgetEnrolments", [write.before]]]
    case "usage": {
      const { owner, project, bestEffort, coreSeconds, at } = write.row
      return [["usage", [owner, project, bestEffort ? 1 : 0, coreSeconds, at]]]
    }
    case "share":
      return [write.share === 1 ? ["noShare", [write.owner]] : ["share", [write.owner, write.share]]]
    case "notice": {
      const { campaign, occasion, target, at, tries, nextAt, trouble, doneAt } = write.row
      return [["notice", [campaign, occasion, target, at, tries, nextAt, trouble, doneAt]]]
    }
    case "disownBlob":
      return [["disownBlob", [write.owner, digestBytes(write.digest)]]]
    case "clock":
      return [["clock", [write.wallMs]]]
    case "forgetCampaign":
      return [
        ["forget", [write.at, write.campaign]],
        ["freeKey", [write.campaign]],
        ["keepNumber", []],
      ]
    case "sweepForgotten": {
      const { rows } = write
      return [
        ["sweepResults", [rows]],
        ["sweepJobs", [rows]],
        // Each holds up to a thousand lines.
        ["sweepParameters", [Math.ceil(rows / 100)]],
        ["sweepCampaign", []],
      ]
    }
    case "blob":
      return [["blob", [digestBytes(write.digest), write.sizeBytes, wallMs]]]
    case "blobOwner":
      return [
        ["blobOwner", holdingValues(write.digest, write.as, write.owner)],
        ["blobUsed", [wallMs, digestBytes(write.digest)]],
      ]
    case "forgetBlob":
      return [["forgetBlob", [digestBytes(write.digest), write.usedBefore]]]
    case "token": {
      const { id, hash, principal, scopes, createdAt, expiresAt, revokedAt, lastUsedAt } = write.row
      const values = [id, own(hash), principal, JSON.stringify(scopes), createdAt, expiresAt, revokedAt, lastUsedAt]
      return [["token", values]]
    }
    case "forgetToken":
      return [["forgetToken", [write.id]]]
    case "enrolment": {
      const { id, hash, account, usesLeft, expiresAt, launch } = write.row
      return [["enrolment", [id, own(hash), account, usesLeft, expiresAt, launch]]]
    }
    default:
      return encodeVolunteer(write)
  }
}

/** Rows that are in no campaign's batch. */
export function rowSteps(writes: readonly RowWrite[], wallMs: number): Step[] {
  return writes.flatMap(write => encode(write, wallMs, () => false))
}

function campaignValues(row: CampaignRow): Value[] {
  return [
    row.id,
    row.owner,
    row.key,
    digestBytes(row.specDigest),
    row.name,
    own(row.spec),
    row.slots,
    row.memoryBytes,
    row.diskBytes,
    row.walltimeMs,
    row.priority,
    row.total,
    row.hasParameters ? 1 : 0,
    row.submittedAt,
    JSON.stringify(row.rules),
    row.project,
  ]
}

function jobValues(row: JobRow): Value[] {
  const { campaign, index, phase, outcome, verdict, attempt, node, failures, losses } = row
  const [story, tries] = [storyText(row.story), triesText(row.tries)]
  return [campaign, index, phase, outcome, verdict, attempt, node, failures, losses, story, tries]
}

/** Its owner has it, whoever sent it: a campaign's stageout may be the next one's stagein. */
function stageinSteps({ id, owner, stagein, submittedAt }: CampaignRow): Step[] {
  if (stagein === null) return []
  const { digest } = stagein
  return [
    namedStep(stagein, submittedAt),
    ["reference", [digestBytes(digest), "stagein", owner, id, null, null]],
    ["blobOwner", holdingValues(digest, "uploaded", owner)],
  ]
}

function holdingValues(digest: Digest, as: Holding, owner: string): Value[] {
  return [digestBytes(digest), as, owner]
}

function namedStep({ digest, sizeBytes }: BlobRef, wallMs: number): Step {
  return ["blobNamed", [digestBytes(digest), sizeBytes, 0, wallMs]]
}

/** Adds the steps of a job that ended with this result. */
export function addEnded(steps: Step[], job: JobRow, result: ResultRow, wallMs: number): void {
  const values = plainValues(result, wallMs, job)
  steps.push(isPlain(result) ? ["endedPlain", values] : ["ended", [...values, ...otherValues(result)]])
  addReferences(steps, result, wallMs)
}

function resultSteps(row: ResultRow, wallMs: number): Step[] {
  const { campaign, index, accepted } = row
  const values = [...plainValues(row, wallMs, null).slice(0, PLAIN_COLUMNS), ...otherValues(row), accepted ? 1 : 0]
  const steps: Step[] = [["result", values]]
  addReferences(steps, row, wallMs)
  if (!accepted) steps.push(["trimResults", [campaign, index, campaign, index]])
  return steps
}

function addReferences(steps: Step[], row: ResultRow, wallMs: number): void {
  const { stageout, stdout, stderr } = row
  if (stageout !== null) addReference(steps, row, "stageout", stageout, wallMs)
  if (stdout.blob !== null) addReference(steps, row, "stdout", stdout.blob, wallMs)
  if (stderr.blob !== null) addReference(steps, row, "stderr", stderr.blob, wallMs)
}

function addReference(
  steps: Step[],
  { campaign, index, attempt }: ResultRow,
  role: "stageout" | "stdout" | "stderr",
  blob: BlobRef,
  wallMs: number,
): void {
  steps.push(namedStep(blob, wallMs))
  steps.push(["reference", [digestBytes(blob.digest), role, null, campaign, index, attempt]])
}

function isPlain({ message, warnings, stdout, stderr }: ResultRow): boolean {
  return message === "" && warnings === "" && stdout.droppedBytes === 0 && stderr.droppedBytes === 0
}

/** Of these, the result's own; the job's come after them. */
const PLAIN_COLUMNS = plainColumns.split(",").length

/** Its claims as claimsOf() has them, without the copy. One array for result and job, since it is made for every job. */
function plainValues(row: ResultRow, wallMs: number, job: JobRow | null): Value[] {
  const { stdout, stderr } = row
  return [
    row.campaign,
    row.index,
    row.attempt,
    row.node,
    row.outcome,
    whole(row.exitCode),
    stdout.inline === null ? null : own(stdout.inline),
    stderr.inline === null ? null : own(stderr.inline),
    whole(row.runMs),
    whole(row.cpuMs),
    whole(row.peakMemoryBytes),
    wallMs,
    job?.verdict ?? null,
    job?.attempt ?? null,
    job?.failures ?? null,
    job?.losses ?? null,
    job === null ? null : storyText(job.story),
  ]
}

function otherValues({ message, warnings, stdout, stderr }: ResultRow): Value[] {
  return [message, warnings, whole(stdout.droppedBytes), whole(stderr.droppedBytes)]
}

/**
 * What an agent merely says about its run, as whole numbers that a column can hold. The link checks too; but an odd number
 * from one stranger must not fail the transaction of everybody.
 */
export function claimsOf<R extends Result>(result: R): R {
  return {
    ...result,
    exitCode: whole(result.exitCode),
    stdout: { ...result.stdout, droppedBytes: whole(result.stdout.droppedBytes) },
    stderr: { ...result.stderr, droppedBytes: whole(result.stderr.droppedBytes) },
    runMs: whole(result.runMs),
    cpuMs: whole(result.cpuMs),
    peakMemoryBytes: whole(result.peakMemoryBytes),
  }
}

function whole(claim: number): number {
  if (Number.isNaN(claim)) return 0
  return Math.min(Math.max(Math.trunc(claim), Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER)
}

function nodeValues(row: NodeRow): Value[] {
  return [
    row.id,
    row.account,
    row.name,
    own(row.publicKey),
    row.agentVersion,
    row.bootId,
    row.epoch,
    row.slots,
    row.memoryBytes,
    row.diskBytes,
    JSON.stringify(row.properties),
    row.drained ? 1 : 0,
    row.revoked ? 1 : 0,
    row.lastSeenAt,
    row.presence === null ? null : own(row.presence),
    row.quarantine === null ? null : JSON.stringify(row.quarantine),
    row.host,
    row.network,
  ]
}

/** Lines in pages small enough to parse for one job and large enough that a million jobs are a thousand rows. */
export function pagesOf(lines: readonly string[], first: number): { first: number; lines: string[] }[] {
  const pages: { first: number; lines: string[] }[] = []
  let bytes = 0
  lines.forEach((line, at) => {
    const page = pages.at(-1)
    const fits = page !== undefined && page.lines.length < PARAMETER_PAGE_LINES
    // UTF-16 units, not bytes: near enough for a bound, and free.
    if (page !== undefined && fits && bytes + line.length <= PARAMETER_PAGE_BYTES) {
      page.lines.push(line)
      bytes += line.length
    } else {
      pages.push({ first: first + at, lines: [line] })
      bytes = line.length
    }
  })
  return pages
}

export function digestBytes(digest: Digest): Uint8Array {
  return new Uint8Array(Buffer.from(hexOf(digest), "hex"))
}
