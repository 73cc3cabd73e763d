// Fetching what jobs left behind: download, check, unpack in a place apart, then put into the user's directory.
// The makers of these bytes are strangers: archive/unpack.ts decides what is safe, nothing of the user's is ever
// overwritten unasked, and a job whose result is bad does not stop the others. DIR/.cah remembers, for the next run.
import { createReadStream } from "node:fs"
import { copyFile, link, lstat, rename, rm, unlink, utimes, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { ArchiveError, ENTRIES_MAX, FOLDER_BYTES, fold } from "../archive/rules.ts"
import { roomFor, type Unpacked, unpack } from "../archive/unpack.ts"
import { type Job, type Log, Phase } from "../proto/gen/cah/v1/job_pb.ts"
import { Output } from "../proto/gen/cah/v1/scientist_pb.ts"
import type { Context } from "./context.ts"
import { at, ClientError } from "./errors.ts"
import { makeFolder } from "./folders.ts"
import type { Hub, JobName } from "./library.ts"
import { GET_ERRORS_SHOWN, GET_PARALLEL } from "./limits.ts"
import { type Brought, CORNER, Place, type Standing } from "./place.ts"
import { showBytes } from "./quantities.ts"
import { sameContent } from "./same.ts"
import { checkRanges, eachParallel, type Target } from "./targets.ts"
import { tally } from "./text.ts"

export interface GetOptions {
  readonly directory: string
  /** All files of all jobs in one directory. */
  readonly flat: boolean
  readonly logs: boolean
  readonly overwrite: boolean
}

/** What was done, in jobs but for the bytes. The JSON form of `get`. */
export interface Fetched {
  readonly campaign: string
  readonly directory: string
  fetched: number
  /** Complete from an earlier run. */
  present: number
  /** Ended, but nothing came back. */
  empty: number
  notEnded: number
  failed: number
  /** Of files and logs, without what packing them takes. */
  bytes: number
}

/** Errors after which no other job can fare better. */
const hopeless = new Set(["unavailable", "unauthenticated", "permission_denied", "interrupted", "internal"])

export async function fetchResults(
  context: Context,
  hub: Hub,
  target: Target,
  options: GetOptions,
): Promise<{ fetched: Fetched; error: ClientError | null }> {
  const id = target.campaign
  const { campaign } = await hub.show(id)
  hub.bePatient()
  const { total, ended } = tally(campaign)
  if (target.ranges !== null) checkRanges(id, target.ranges, total)
  const wanted = target.ranges?.reduce((count, range) => count + range.last - range.first + 1, 0) ?? total
  const fetched: Fetched = {
    campaign: String(id),
    directory: options.directory,
    fetched: 0,
    present: 0,
    empty: 0,
    notEnded: wanted,
    failed: 0,
    bytes: 0,
  }
  const errors: ClientError[] = []
  const place = await Place.open(options.directory, total > 1 && !options.flat ? total : null)
  const bar = context.bar({ label: `campaign ${id}`, unit: "jobs", quietMs: 1_000 })
  let done = 0
  try {
    const jobs = hub.jobs(id, { ranges: target.ranges, phase: Phase.ENDED })
    await eachParallel(jobs, GET_PARALLEL, async job => {
      context.signal.throwIfAborted()
      fetched.notEnded--
      try {
        const result = await new Fetch(context, hub, place, job, options).run()
        fetched[result.kind]++
        fetched.bytes += result.bytes
      } catch (thrown) {
        const error = ClientError.from(thrown)
        if (hopeless.has(error.code) || isDiskFull(error)) throw error
        fetched.failed++
        if (errors.length < GET_ERRORS_SHOWN) errors.push(at(`${id}.${job.id?.index}`, error))
      }
      context.hubIsBack()
      bar.update(++done, target.ranges === null ? ended : wanted, showBytes(fetched.bytes))
    })
  } finally {
    bar.clear()
  }
  return { fetched, error: combine(id, fetched, errors) }
}

function combine(id: bigint, fetched: Fetched, errors: readonly ClientError[]): ClientError | null {
  const [first] = errors
  if (first === undefined) return null
  if (fetched.failed === 1) return first
  const lines = errors.map(error => error.message)
  if (fetched.failed > errors.length) lines.push(`and ${fetched.failed - errors.length} more`)
  if (first.hint !== "") lines.push(first.hint)
  return new ClientError(first.code, `${fetched.failed} results of campaign ${id} could not be fetched:`, {
    hint: lines.join("\n"),
    details: errors.map(error => ({ code: error.code, message: error.message })),
  })
}

/** One job's results. */
class Fetch {
  readonly #context: Context
  readonly #hub: Hub
  readonly #place: Place
  readonly #job: Job
  readonly #name: JobName
  readonly #options: GetOptions

  constructor(context: Context, hub: Hub, place: Place, job: Job, options: GetOptions) {
    if (job.id === undefined) throw new ClientError("internal", "The hub lists a job without its number.")
    this.#context = context
    this.#hub = hub
    this.#place = place
    this.#job = job
    this.#name = { campaign: job.id.campaign, index: job.id.index }
    this.#options = options
  }

  async run(): Promise<{ kind: "fetched" | "present" | "empty"; bytes: number }> {
    const { result } = this.#job
    const parts: { line: string; fetch: (standing: Standing | null) => Promise<Brought> }[] = []
    const blob = result?.stageout
    if (blob !== undefined) {
      parts.push({ line: this.#line("stageout", blob.digest), fetch: standing => this.#stageout(blob, standing) })
    }
    if (this.#options.logs) {
      for (const [name, output, log] of [
        ["stdout", Output.STDOUT, result?.stdout],
        ["stderr", Output.STDERR, result?.stderr],
      ] as const) {
        if (log === undefined || (log.blob === undefined && log.inline.length === 0)) continue
        const line = this.#line(name, log.blob?.digest ?? inlineOf(this.#job))
        parts.push({ line, fetch: standing => this.#log(name, output, log, standing) })
      }
    }
    if (parts.length === 0) return { kind: "empty", bytes: 0 }
    let bytes = 0
    let kind: "fetched" | "present" = "present"
    for (const part of parts) {
      const standing = await this.#place.standing(part.line, this.#name)
      if (standing === "whole" || (standing === "changed" && !this.#options.overwrite)) continue
      const brought = await part.fetch(standing)
      await this.#place.remember(part.line, brought)
      bytes += brought.files.reduce((sum, [, sizeBytes]) => sum + sizeBytes, 0)
      kind = "fetched"
    }
    return { kind, bytes }
  }

  async #stageout(blob: { digest: string; sizeBytes: bigint }, standing: Standing | null): Promise<Brought> {
    const name = this.#partial("stageout", blob.digest)
    const archive = await this.#place.claim(name)
    const { signal } = this.#context
    const bytes = await this.#hub.download({ job: this.#name, output: Output.STAGEOUT, blob }, archive)
    const fresh = this.#place.own(`${this.#name.campaign}.${this.#name.index}.unpacked`)
    try {
      // The archive is not compressed, so that its files cannot be larger than it; its folders are bounded by their number.
      const room = roomFor(bytes + ENTRIES_MAX * FOLDER_BYTES)
      const unpacked = await this.#withoutCorner(
        fresh,
        await unpack(createReadStream(archive), fresh, { room, signal }),
      )
      // An archive carries no times; make and its like must see results as newer than their inputs.
      const now = new Date()
      for (const file of unpacked.files) await utimes(join(fresh, file.path), now, now)
      await this.#moveIn(fresh, unpacked, standing)
      await unlink(archive)
      const folders = unpacked.folders.map(path => [`${path}/`, 0] as const)
      return {
        files: [...unpacked.files.map(file => [file.path, file.sizeBytes] as const), ...folders],
        at: now.getTime(),
      }
    } catch (thrown) {
      signal.throwIfAborted()
      if (!(thrown instanceof ArchiveError)) throw thrown
      throw new ClientError("data_loss", `What came back is not safe to unpack here: ${thrown.message}`, {
        cause: thrown,
        hint: `It was left packed as ${await this.#place.leave(name)}`,
      })
    } finally {
      await rm(fresh, { recursive: true, force: true })
    }
  }

  /** A job's own ".cah" would lie among our books, or be read as them by a later `cah get`: it comes under another name. */
  async #withoutCorner(fresh: string, { files, folders }: Unpacked): Promise<Unpacked> {
    const tops = new Set([...files.map(({ path }) => path), ...folders].map(path => path.split("/", 1)[0]!))
    const top = [...tops].find(one => fold(one) === CORNER)
    if (top === undefined) return { files, folders }
    let other = `${CORNER}-of-job`
    while (tops.has(other)) other += "~"
    await rename(join(fresh, top), join(fresh, other))
    const moved = (path: string): string =>
      path === top || path.startsWith(`${top}/`) ? `${other}${path.slice(top.length)}` : path
    const id = `${this.#name.campaign}.${this.#name.index}`
    this.#context.output.warn(`${id}: its ${top} comes as ${other}: cah get keeps its own books in ${CORNER}.`)
    return { files: files.map(file => ({ ...file, path: moved(file.path) })), folders: folders.map(moved) }
  }

  async #moveIn(fresh: string, { files, folders }: Unpacked, standing: Standing | null): Promise<void> {
    const destination = this.#place.of(this.#name)
    if (!(await exists(destination))) {
      try {
        return await rename(fresh, destination)
      } catch (thrown) {
        // Another `cah get` was quicker.
        if (codeOf(thrown) !== "ENOTEMPTY" && codeOf(thrown) !== "EEXIST") throw thrown
      }
    }
    for (const folder of folders) await makeFolder(join(destination, folder))
    for (const { path } of files) await this.#put(join(fresh, path), join(destination, path), standing)
  }

  async #log(name: "stdout" | "stderr", output: Output, log: Log, standing: Standing | null): Promise<Brought> {
    const file = await this.#place.claim(this.#partial(name, log.blob?.digest ?? inlineOf(this.#job)))
    let bytes = log.inline.length
    if (log.blob === undefined) await writeFile(file, log.inline)
    else bytes = await this.#hub.download({ job: this.#name, output, blob: log.blob }, file)
    const now = new Date()
    await utimes(file, now, now)
    const directory = this.#place.of(this.#name)
    const path = this.#options.flat ? `${this.#name.index}.${name}` : name
    await this.#put(file, join(directory, path), standing)
    return { files: [[path, bytes]], at: now.getTime() }
  }

  /**
   * Moves a finished file to its place. What is there already stays, unless it is the same or the user said otherwise; where an earlier run
   * had brought it, the user has changed it since, and nothing need be said.
   */
  async #put(from: string, to: string, standing: Standing | null): Promise<void> {
    await makeFolder(dirname(to))
    if (this.#options.overwrite) return rename(from, to)
    try {
      await link(from, to)
    } catch (thrown) {
      const code = codeOf(thrown)
      if (code === "EEXIST") return this.#settle(from, to, standing)
      // A file system without hard links.
      if (code !== "EPERM" && code !== "ENOTSUP" && code !== "EOPNOTSUPP" && code !== "ENOSYS") throw thrown
      try {
        await copyFile(from, to, 1)
      } catch (again) {
        if (codeOf(again) === "EEXIST") return this.#settle(from, to, standing)
        throw again
      }
    }
    await unlink(from)
  }

  async #settle(from: string, to: string, standing: Standing | null): Promise<void> {
    if (standing !== null || (await sameContent(from, to))) return unlink(from)
    throw new ClientError("local", `${to} is there already, with another content.`, {
      hint: this.#options.flat
        ? "Fetch into one directory for each job (without --flat), into another directory, or add --overwrite."
        : "Fetch into another directory, or add --overwrite.",
    })
  }

  #partial(what: string, digest: string): string {
    return `${this.#name.campaign}.${this.#name.index}.${what}.${digest.slice(-16)}.partial`
  }

  #line(what: string, digest: string): string {
    return `${this.#name.campaign}.${this.#name.index} ${what} ${digest}${this.#options.flat ? " flat" : ""}`
  }
}

/** What a job wrote that ended, was queued again and ended anew is not what it wrote before. */
function inlineOf({ attempt }: Job): string {
  return attempt > 1 ? `inline#${attempt}` : "inline"
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => null)) !== null
}

function isDiskFull(error: ClientError): boolean {
  const code = codeOf(error.cause)
  return code === "ENOSPC" || code === "EDQUOT"
}

function codeOf(thrown: unknown): string {
  return thrown instanceof Error && "code" in thrown ? String(thrown.code) : ""
}
