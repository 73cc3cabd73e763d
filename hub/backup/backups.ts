// Backups of a running hub: one at a time, never while blobs are collected, ended when the hub stops. Tells those who asked how
// far it is, about once a second. Where they lie is the operator's choice (--backups), never a caller's: an admin's
// token must not write wherever its holder likes on the hub's machine.
import { resolve } from "node:path"
import { CahError } from "../core/errors.ts"
import type { Log } from "../core/ports.ts"
import { BACKUP_TOLD_EVERY_MS } from "../limits.ts"
import { type Backup, type BackupParts, makeBackup, type Progress } from "./make.ts"

export type { Backup, Progress } from "./make.ts"

export interface BackupsParts extends Omit<BackupParts, "directory"> {
  /** Null: none are made. */
  readonly directory: string | null
  readonly log: Log
  /** Runs it when nothing else reads all blobs or removes some. */
  alone<T>(work: () => Promise<T>): Promise<T>
}

export class Backups {
  readonly #parts: BackupsParts
  readonly #stopped = new AbortController()
  #current: Promise<unknown> | null = null

  constructor(parts: BackupsParts) {
    this.#parts = parts
  }

  /** How far it is, again and again, and at last what was made. CahError when it is refused or fails. */
  async *make(keep: number | null, signal: AbortSignal): AsyncGenerator<Progress | Backup> {
    const { directory, log, alone } = this.#parts
    if (directory === null) {
      const remedy = "start it with --backups DIRECTORY, best on another disk"
      throw new CahError("failed_precondition", `this hub has no place for backups: ${remedy}`)
    }
    if (this.#current !== null)
      throw new CahError("failed_precondition", "a backup is under way: wait until it is made")
    let progress: Progress | null = null
    const either = AbortSignal.any([signal, this.#stopped.signal])
    const wish = { keep, signal: either, told: (far: Progress) => (progress = far) }
    const making = alone(() => makeBackup({ ...this.#parts, directory: resolve(directory) }, wish))
    // Whoever asks hears of a failure below; stop() must not hear of it as well.
    const settled = making.then(
      () => "over" as const,
      () => "over" as const,
    )
    this.#current = settled
    try {
      while ((await Promise.race([settled, passed(BACKUP_TOLD_EVERY_MS)])) !== "over") {
        if (progress !== null) yield progress
      }
      const made = await making
      const { name, campaigns, blobs, copiedBlobs, copiedBytes, lostBlobs, removed } = made
      log.info({ name, campaigns, blobs, copiedBlobs, copiedBytes, removed: removed.length }, "backup made")
      if (lostBlobs.length > 0)
        log.error({ name, lostBlobs: lostBlobs.slice(0, 10) }, "a backup lacks blobs that are lost")
      yield made
    } finally {
      await settled
      this.#current = null
    }
  }

  /** Gives up the one under way. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#current
  }
}

function passed(ms: number): Promise<"passed"> {
  return new Promise(resolve => setTimeout(() => resolve("passed"), ms).unref())
}
