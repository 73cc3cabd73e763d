// What the agent must remember through its own kill -9: one small file for each attempt it holds, with the result once there is
// one. Saved means on disk: file synced, renamed into place, directory synced. Saves that come together share one sync of
// the directory. A file that is damaged is put aside and reported; it never keeps the agent from starting.
import { createHash } from "node:crypto"
import { mkdir, open, readdir, readFile, rename, unlink } from "node:fs/promises"
import { join } from "node:path"
import { ignoreMissing, syncDirectory } from "../common/disk.ts"
import type { AttemptName, Result, RunSpec } from "./core/model.ts"
import { fileNameOf } from "./workplace.ts"

export interface JournalEntry {
  readonly name: AttemptName
  readonly spec: RunSpec
  readonly result: Result | null
}

export interface Journal {
  /** Resolves when it is on disk. Of two saves for one attempt under way at once, the later wins. */
  save(entry: JournalEntry): Promise<void>
  forget(name: AttemptName): Promise<void>
}

export interface Recovered {
  readonly journal: Journal
  readonly entries: readonly JournalEntry[]
  /** Files that could not be believed, by their new names, and why. */
  readonly damaged: readonly { readonly file: string; readonly why: string }[]
}

const suffix = ".json"

export async function openJournal(directory: string): Promise<Recovered> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const entries: JournalEntry[] = []
  const damaged: { file: string; why: string }[] = []
  for (const file of (await readdir(directory)).sort()) {
    // Half-written at a crash, never acknowledged.
    if (file.endsWith(".tmp")) await unlink(join(directory, file))
    if (!file.endsWith(suffix)) continue
    try {
      entries.push(decode(await readFile(join(directory, file), "utf8"), file))
    } catch (error) {
      await rename(join(directory, file), join(directory, `${file}.damaged`))
      damaged.push({ file: `${file}.damaged`, why: error instanceof Error ? error.message : String(error) })
    }
  }
  return { journal: new DiskJournal(directory), entries, damaged }
}

interface Waiting {
  readonly entry: JournalEntry
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

class DiskJournal implements Journal {
  readonly #directory: string
  #waiting: Waiting[] = []
  #flushing: Promise<void> | null = null

  constructor(directory: string) {
    this.#directory = directory
  }

  save(entry: JournalEntry): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ entry, done, failed })
      this.#flushing ??= this.#flush()
    })
  }

  async forget(name: AttemptName): Promise<void> {
    // After a save under way, which would bring it back. No sync: an entry that reappears after a power cut is settled by the next hello.
    await this.#flushing
    await unlink(join(this.#directory, fileNameOf(name) + suffix)).catch(ignoreMissing)
  }

  async #flush(): Promise<void> {
    // A turn's grace lets all saves of one tick into the first batch.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const batch = this.#waiting
      this.#waiting = []
      const latest = new Map(batch.map(({ entry }) => [fileNameOf(entry.name), entry]))
      const failures = new Map<string, unknown>()
      await Promise.all(
        [...latest].map(([file, entry]) =>
          this.#write(file, entry).catch((error: unknown) => failures.set(file, error)),
        ),
      )
      const synced = await syncDirectory(this.#directory).then(
        () => null,
        (error: unknown) => ({ error }),
      )
      for (const { entry, done, failed } of batch) {
        const file = fileNameOf(entry.name)
        if (failures.has(file)) failed(failures.get(file))
        else if (synced !== null) failed(synced.error)
        else done()
      }
    }
    this.#flushing = null
  }

  async #write(file: string, entry: JournalEntry): Promise<void> {
    const path = join(this.#directory, file)
    const temporary = `${path}.tmp`
    try {
      const handle = await open(temporary, "w", 0o600)
      try {
        await handle.writeFile(encode(entry))
        await handle.sync()
      } finally {
        await handle.close()
      }
      await rename(temporary, path + suffix)
    } catch (error) {
      await unlink(temporary).catch(() => {})
      throw error
    }
  }
}

/** A line with the digest of what follows, so that a damaged file is known without trusting any of it. */
function encode(entry: JournalEntry): string {
  const body = JSON.stringify({ version: 1, ...entry })
  return `${digest(body)}\n${body}`
}

function decode(text: string, file: string): JournalEntry {
  const newline = text.indexOf("\n")
  const body = text.slice(newline + 1)
  if (newline === -1 || digest(body) !== text.slice(0, newline)) throw new Error("its bytes do not match its digest")
  const { version, name, spec, result } = JSON.parse(body) as JournalEntry & { version: number }
  if (version !== 1) throw new Error(`written by another version of the agent (format ${version})`)
  if (fileNameOf(name) + suffix !== file) throw new Error("it is about another attempt than its name says")
  // An agent before 0.2 knew no warnings.
  return { name, spec, result: result === null ? null : { ...result, warnings: result.warnings ?? "" } }
}

function digest(body: string): string {
  return createHash("sha256").update(body).digest("hex")
}
