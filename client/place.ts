// The user's directory that results go to, and DIR/.cah, the corner of it where we keep what is unfinished and remember what is complete. Several
// `cah get` may be at work in one directory: what is unfinished bears the name of the process that works on it, and is taken over by another
// one only when that process is gone.
import { createHash, randomBytes } from "node:crypto"
import { appendFile, lstat, readdir, readFile, rename, rm } from "node:fs/promises"
import { hostname } from "node:os"
import { join } from "node:path"
import { folderOf } from "../proto/wire/folder.ts"
import { ClientError } from "./errors.ts"
import { makeFolder } from "./folders.ts"

/** Its name in a user's directory. No result may bring one: it would be read as ours. */
export const CORNER = ".cah"

/** What one part of a job's result put into the job's place: paths with their sizes, those of folders with "/" at the end. */
export interface Brought {
  readonly files: readonly (readonly [path: string, sizeBytes: number])[]
  /** Modification time of the files, ms. */
  readonly at: number
}

/** How much of that is there: all as it was, all but changed by the user, or not all. */
export type Standing = "whole" | "changed" | "missing"

/** A job of the campaign whose results the directory is for. */
interface InCampaign {
  readonly index: number
}

export class Place {
  readonly directory: string
  /** Same file system as the directory, so that finished things move in by a rename. */
  readonly corner: string
  /** Jobs of the campaign, where each has a folder of its own. */
  readonly #jobs: number | null
  readonly #journal: string
  readonly #done: ReadonlyMap<string, string>
  readonly #me = `${hostTag()}-${process.pid}-${randomBytes(4).toString("hex")}`
  /** In the corner when it was opened, and nobody's any more. */
  readonly #left: ReadonlySet<string>

  private constructor(
    directory: string,
    jobs: number | null,
    done: ReadonlyMap<string, string>,
    left: ReadonlySet<string>,
  ) {
    this.directory = directory
    this.corner = join(directory, CORNER)
    this.#jobs = jobs
    this.#journal = join(this.corner, "fetched")
    this.#done = done
    this.#left = left
  }

  /** `jobs`: how many the campaign has, where each has a folder of its own. */
  static async open(directory: string, jobs: number | null): Promise<Place> {
    const corner = join(directory, CORNER)
    let names: string[]
    try {
      await makeFolder(corner)
      names = await readdir(corner)
    } catch (thrown) {
      const { message, hint } = ClientError.from(thrown)
      const what = `${directory} cannot be made or written to.`
      throw new ClientError("local", `${what} ${message}`, { cause: thrown, hint })
    }
    const left = new Set(names.filter(isLeft))
    for (const name of left) {
      if (name.includes(".unpacked.")) await rm(join(corner, name), { recursive: true, force: true })
    }
    const text = await readFile(join(corner, "fetched"), "utf8").catch(() => "")
    // A line without its newline is what a crash cut off: not done. The last of several about the same is true.
    const lines = text.split("\n").slice(0, -1)
    const done = new Map(lines.map(line => [line.split("\t", 1)[0]!, line.slice(line.indexOf("\t") + 1)] as const))
    return new Place(directory, jobs, done, left)
  }

  /** Where the files of a job go. */
  of({ index }: InCampaign): string {
    return this.#jobs === null ? this.directory : join(this.directory, folderOf(index, this.#jobs))
  }

  /** Null: no earlier run has brought it. */
  async standing(part: string, job: InCampaign): Promise<Standing | null> {
    const line = this.#done.get(part)
    const brought = line === undefined ? null : readBrought(line)
    if (brought === null) return null
    let standing: Standing = "whole"
    for (const [path, sizeBytes] of brought.files) {
      const stats = await lstat(join(this.of(job), path)).catch(() => null)
      if (stats === null) return "missing"
      const isSame = path.endsWith("/") || (stats.size === sizeBytes && Math.round(stats.mtimeMs) === brought.at)
      if (!isSame) standing = "changed"
    }
    return standing
  }

  async remember(part: string, brought: Brought): Promise<void> {
    await appendFile(this.#journal, `${part}\t${JSON.stringify(brought)}\n`)
  }

  /** A path in the corner for what this process alone works on, going on with what an earlier one left. */
  async claim(name: string): Promise<string> {
    const mine = this.own(name)
    for (const left of this.#left) {
      if (left !== name && !left.startsWith(`${name}.`)) continue
      const taken = await rename(join(this.corner, left), mine).then(
        () => true,
        () => false,
      )
      if (taken) break
    }
    return mine
  }

  /** The same, from nothing. */
  own(name: string): string {
    return join(this.corner, `${name}.${this.#me}`)
  }

  /** Leaves a claimed file under its plain name, for the user to see and for a later run to go on with. */
  async leave(name: string): Promise<string> {
    const plain = join(this.corner, name)
    await rename(this.own(name), plain)
    return plain
  }
}

/** Owners are told apart by machine too: a directory may be shared, and the same number means another process elsewhere. */
const owner = /\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}$/

function isLeft(name: string): boolean {
  const [, host, pid] = owner.exec(name) ?? []
  if (pid === undefined) return name.endsWith(".partial")
  if (host !== hostTag()) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (thrown) {
    // EPERM: it lives, and is somebody else's.
    return (thrown as NodeJS.ErrnoException).code === "ESRCH"
  }
}

function hostTag(): string {
  return createHash("sha256").update(hostname()).digest("hex").slice(0, 8)
}

function readBrought(text: string): Brought | null {
  try {
    const { files, at } = JSON.parse(text) as Brought
    return Array.isArray(files) && typeof at === "number" ? { files, at } : null
  } catch {
    // Damaged, or of another form: then it is fetched again.
    return null
  }
}
