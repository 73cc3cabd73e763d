// Fetching what jobs left behind: download, check, unpack in a place apart, then put into the user's directory.
// The makers of these bytes are strangers: archive/unpack.ts decides what is safe, nothing of the user's is ever
// overwritten unasked, and a job whose result is bad does not stop the others. DIR/.cah remembers, for the next run.
import { createReadStream } from "node:fs"
import { appendFile, copyFile, link, lstat, readFile, rename, rm, unlink, utimes, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { ArchiveError, ENTRIES_MAX, FOLDER_BYTES } from "../archive/rules.ts"
import { roomFor, unpack } from "../archive/unpack.ts"
import { type Job, type Log, Phase } from "../proto/gen/cah/v1/job_pb.ts"
import { Output } from "../proto/gen/cah/v1/scientist_pb.ts"
import { folderOf } from "../proto/wire/folder.ts"
import type { Context } from "./context.ts"
import { at, ClientError } from "./errors.ts"
import { makeFolder } from "./folders.ts"
import type { Hub, JobName } from "./library.ts"
import { GET_ERRORS_SHOWN, GET_PARALLEL } from "./limits.ts"
import { showBytes } from "./quantities.ts"
import { sameContent } from "./same.ts"
import { checkRanges, eachParallel, type Target } from "./targets.ts"
import { tally } from "./words.ts"

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
  const place = await Place.open(options, total)
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

/** The user's directory, and the corner of it where we keep what is unfinished. */
class Place {
  readonly directory: string
  /** Same file system as the directory, so that finished things move in by a rename. */
  readonly corner: string
  /** Jobs of the campaign, where each has a folder of its own. */
  readonly #jobs: number | null
  readonly #journal: string
  readonly #done: ReadonlySet<string>

  private constructor(directory: string, jobs: number | null, done: ReadonlySet<string>) {
    this.directory = directory
    this.corner = join(directory, ".cah")
    this.#jobs = jobs
    this.#journal = join(this.corner, "fetched")
    this.#done = done
  }

  static async open(options: GetOptions, jobs: number): Promise<Place> {
    const corner = join(options.directory, ".cah")
    try {
      await makeFolder(corner)
    } catch (thrown) {
      const { message, hint } = ClientError.from(thrown)
      const what = `${options.directory} cannot be made or written to.`
      throw new ClientError("local", `${what} ${message}`, { cause: thrown, hint })
    }
    const lines = await readFile(join(corner, "fetched"), "utf8").catch(() => "")
    // A line without its newline is what a crash cut off: not done.
    return new Place(
      options.directory,
      jobs > 1 && !options.flat ? jobs : null,
      new Set(lines.split("\n").slice(0, -1)),
    )
  }

  /** Where the files of a job go. */
  of(job: JobName): string {
    return this.#jobs === null ? this.directory : join(this.directory, folderOf(job.index, this.#jobs))
  }

  async has(line: string, job: JobName): Promise<boolean> {
    return this.#done.has(line) && (await exists(this.of(job)))
  }

  async remember(line: string): Promise<void> {
    await appendFile(this.#journal, `${line}\n`)
  }
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
    const parts: { line: string; fetch: () => Promise<number> }[] = []
    const blob = result?.stageout
    if (blob !== undefined) parts.push({ line: this.#line("stageout", blob.digest), fetch: () => this.#stageout(blob) })
    if (this.#options.logs) {
      for (const [name, output, log] of [
        ["stdout", Output.STDOUT, result?.stdout],
        ["stderr", Output.STDERR, result?.stderr],
      ] as const) {
        if (log === undefined || (log.blob === undefined && log.inline.length === 0)) continue
        const line = this.#line(name, log.blob?.digest ?? "inline")
        parts.push({ line, fetch: () => this.#log(name, output, log) })
      }
    }
    if (parts.length === 0) return { kind: "empty", bytes: 0 }
    let bytes = 0
    let kind: "fetched" | "present" = "present"
    for (const part of parts) {
      if (await this.#place.has(part.line, this.#name)) continue
      bytes += await part.fetch()
      await this.#place.remember(part.line)
      kind = "fetched"
    }
    return { kind, bytes }
  }

  async #stageout(blob: { digest: string; sizeBytes: bigint }): Promise<number> {
    const archive = this.#partial("stageout", blob.digest)
    const { signal } = this.#context
    const bytes = await this.#hub.download({ job: this.#name, output: Output.STAGEOUT, blob }, archive)
    const fresh = join(this.#place.corner, `${this.#name.campaign}.${this.#name.index}.unpacked`)
    // Left by a run that was killed here.
    await rm(fresh, { recursive: true, force: true })
    try {
      // The archive is not compressed, so that its files cannot be larger than it; its folders are bounded by their number.
      const room = roomFor(bytes + ENTRIES_MAX * FOLDER_BYTES)
      const { files } = await unpack(createReadStream(archive), fresh, { room, signal })
      // An archive carries no times; make and its like must see results as newer than their inputs.
      const now = new Date()
      for (const file of files) await utimes(join(fresh, file.path), now, now)
      const destination = this.#place.of(this.#name)
      if (await exists(destination)) {
        for (const file of files) await this.#put(join(fresh, file.path), join(destination, file.path))
      } else await rename(fresh, destination)
    } catch (thrown) {
      signal.throwIfAborted()
      if (!(thrown instanceof ArchiveError)) throw thrown
      throw new ClientError("data_loss", `The result is not safe to unpack: ${thrown.message}`, {
        cause: thrown,
        hint: `It was left packed as ${archive}`,
      })
    } finally {
      await rm(fresh, { recursive: true, force: true })
    }
    await unlink(archive)
    return bytes
  }

  async #log(name: "stdout" | "stderr", output: Output, log: Log): Promise<number> {
    const file = this.#partial(name, log.blob?.digest ?? "inline")
    let bytes = log.inline.length
    if (log.blob === undefined) await writeFile(file, log.inline)
    else bytes = await this.#hub.download({ job: this.#name, output, blob: log.blob }, file)
    const directory = this.#place.of(this.#name)
    const flat = this.#options.flat ? `${this.#name.index}.${name}` : name
    await this.#put(file, join(directory, flat))
    return bytes
  }

  /** Moves a finished file to its place. What is there already stays, unless it is the same or the user said otherwise. */
  async #put(from: string, to: string): Promise<void> {
    await makeFolder(dirname(to))
    if (this.#options.overwrite) {
      await rename(from, to)
      return
    }
    try {
      await link(from, to)
    } catch (thrown) {
      const code = codeOf(thrown)
      if (code === "EEXIST") return this.#settle(from, to)
      // A file system without hard links.
      if (code !== "EPERM" && code !== "ENOTSUP" && code !== "EOPNOTSUPP" && code !== "ENOSYS") throw thrown
      try {
        await copyFile(from, to, 1)
      } catch (again) {
        if (codeOf(again) === "EEXIST") return this.#settle(from, to)
        throw again
      }
    }
    await unlink(from)
  }

  async #settle(from: string, to: string): Promise<void> {
    if (await sameContent(from, to)) return unlink(from)
    throw new ClientError("local", `${to} is there already, with another content.`, {
      hint: this.#options.flat
        ? "Fetch into one directory for each job (without --flat), into another directory, or add --overwrite."
        : "Fetch into another directory, or add --overwrite.",
    })
  }

  #partial(what: string, digest: string): string {
    return join(this.#place.corner, `${this.#name.campaign}.${this.#name.index}.${what}.${digest.slice(-16)}.partial`)
  }

  #line(what: string, digest: string): string {
    return `${this.#name.campaign}.${this.#name.index} ${what} ${digest}${this.#options.flat ? " flat" : ""}`
  }
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
