// What lies where in a place for backups:
//   blobs/                    every blob that some backup names, once: a backup copies what is new
//   2026-12-01T11-56-37Z/     one backup: hub.db, boinc.key where there is one, and backup.json, written last
//   .partial-…/               one that did not come to its end; the next one removes it
// A directory without backup.json is no backup. Nothing here knows a database from another file.
import { mkdir, readdir, readFile, rm } from "node:fs/promises"
import { join } from "node:path"
import { z } from "zod"
import { CahError } from "../core/errors.ts"

const NAME = /^\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}Z$/
const PARTIAL = ".partial-"

const manifest = z.object({
  /** Wall time, ISO 8601. */
  madeAt: z.string(),
  hubVersion: z.string(),
  hubId: z.string(),
  /** The database's version. */
  schema: z.number(),
  campaigns: z.number(),
  blobs: z.number(),
  blobBytes: z.number(),
  /** Digests of blobs that the database names and the hub had lost, or had only damaged. */
  lostBlobs: z.array(z.string()),
})

export type Manifest = z.infer<typeof manifest>

/** Files of the data directory that a backup holds beside the database. The admin token is not one: `cah-hub admin-token` makes another. */
export const KEY_FILES = ["boinc.key"]

export class Catalog {
  readonly directory: string

  constructor(directory: string) {
    this.directory = directory
  }

  get blobs(): string {
    return join(this.directory, "blobs")
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  database(name: string): string {
    return join(this.path(name), "hub.db")
  }

  /** An empty directory to write a backup into. */
  async begin(name: string): Promise<string> {
    const path = this.path(`${PARTIAL}${name}`)
    for (const entry of await readdir(this.directory)) {
      if (entry.startsWith(PARTIAL)) await rm(this.path(entry), { recursive: true })
    }
    await mkdir(path, { mode: 0o700 })
    return path
  }

  /** The oldest first. CahError not_found when the directory cannot be read. */
  async names(): Promise<string[]> {
    try {
      const entries = await readdir(this.directory, { withFileTypes: true })
      return entries
        .filter(entry => entry.isDirectory() && NAME.test(entry.name))
        .map(entry => entry.name)
        .sort()
    } catch (cause) {
      throw new CahError("not_found", `${this.directory} cannot be read: ${(cause as Error).message}`, { cause })
    }
  }

  /** CahError data_loss when it is not a whole backup. */
  async manifest(name: string): Promise<Manifest> {
    const path = join(this.path(name), "backup.json")
    try {
      return manifest.parse(JSON.parse(await readFile(path, "utf8")))
    } catch (cause) {
      throw new CahError("data_loss", `${path} cannot be read: ${(cause as Error).message.split("\n")[0]}`, { cause })
    }
  }

  async remove(name: string): Promise<void> {
    await rm(this.path(name), { recursive: true })
  }
}

export function nameOf(wallMs: number): string {
  return `${new Date(wallMs).toISOString().slice(0, 19).replaceAll(":", "-")}Z`
}

export function isName(text: string): boolean {
  return NAME.test(text)
}
