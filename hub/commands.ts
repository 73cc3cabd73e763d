// What `cah-hub` does besides being a hub, with the hub stopped: restore a backup, look at one, make an admin token anew. Each takes
// the hub's own options, so that the data directory is the one that the hub would use.
import { join } from "node:path"
import { adminTokenPath, writeAdminToken } from "./auth/admin.ts"
import { Tokens } from "./auth/tokens.ts"
import { type RestoreParts, restoreBackup, type Verified, verifyBackup } from "./backup/restore.ts"
import { openDiskBlobs } from "./blobs/disk.ts"
import { type Asked, readConfig } from "./config.ts"
import { CahError } from "./core/errors.ts"
import type { Log } from "./core/ports.ts"
import type { RowWrite } from "./core/rows.ts"
import { count } from "./front/text.ts"
import { faultsIn, readCopy, skipCampaigns, takeSnapshot } from "./store/sqlite/snapshot.ts"
import { openSqliteStore } from "./store/sqlite/sqlite.ts"

interface Command {
  readonly usage: string
  readonly help: string
  /** What it printed, and whether all was well. CahError. */
  run(args: readonly string[], environment: NodeJS.ProcessEnv, log: Log): Promise<{ said: string; well: boolean }>
}

export const commands: Readonly<Record<string, Command>> = {
  restore: {
    usage: "restore FROM [--verify]",
    help: "into an empty --data, from a backup or the newest in its place; --verify only looks",
    async run(args, environment) {
      const isLook = args.includes("--verify")
      const [from, ...rest] = args.filter(arg => arg !== "--verify")
      if (from === undefined || from.startsWith("-")) {
        throw new CahError(
          "invalid_argument",
          "restore from where? cah-hub restore BACKUPS [--data DIRECTORY] [--verify]",
        )
      }
      const parts: RestoreParts = {
        openBlobs: directory => openDiskBlobs({ directory, wallMs: Date.now }),
        snapshot: (file, to) => takeSnapshot(file, to, "copy"),
        readCopy,
        faultsIn,
        skipCampaigns,
      }
      const data = dataOf(readConfig(rest, environment))
      if (isLook) {
        const found = await verifyBackup(parts, from)
        return { said: verified(found), well: found.faults.length === 0 }
      }
      const made = await restoreBackup(parts, from, data)
      const said = [
        `${inWords(made)} is restored to ${made.data}.`,
        `New campaigns have numbers from ${made.firstCampaign} on: those between may have been given since the backup.`,
        ...lostWords(made),
        "The admin token is not in a backup. If you have none: cah-hub admin-token",
      ]
      return { said: `${said.join("\n")}\n`, well: true }
    },
  },
  "admin-token": {
    usage: "admin-token",
    help: "make another admin token, when the first is lost; the hub must be stopped",
    async run(args, environment, log) {
      const data = dataOf(readConfig(args, environment))
      const store = await openSqliteStore({ directory: data, wallMs: Date.now, create: false })
      try {
        const clock = { nowMs: () => performance.now(), wallMs: Date.now }
        const commit = (writes: readonly RowWrite[]) =>
          new Promise<void>((resolve, reject) => {
            store.commit(writes, error => (error === null ? resolve() : reject(error)))
          })
        await writeAdminToken(new Tokens({ store, engine: { commit }, clock, log }), data)
        return {
          said: `An admin token is in ${adminTokenPath(data)}. Older ones still hold: \`cah admin token ls\` lists them.\n`,
          well: true,
        }
      } finally {
        await store.close()
      }
    },
  },
}

function dataOf(asked: Asked): string {
  if (asked.kind === "run") return asked.config.data
  throw new CahError("invalid_argument", "only the hub itself takes --help, --version and --print-config")
}

function inWords({ name, madeAt, campaigns, blobs, blobBytes, hubVersion }: Verified): string {
  const size = `${blobBytes.toLocaleString("en")} bytes`
  const what = `${count(campaigns, "campaign")}, ${count(blobs, "blob")} of ${size}`
  return `The backup ${name} (${what}, made at ${madeAt} by version ${hubVersion})`
}

function verified(found: Verified): string {
  if (found.faults.length === 0) {
    return [`${inWords(found)} is sound: every page and every blob was read.`, ...lostWords(found), ""].join("\n")
  }
  const shown = found.faults.slice(0, 10).map(fault => `  ${fault}`)
  const more = found.faults.length > shown.length ? [`  and ${found.faults.length - shown.length} more`] : []
  return [
    `${inWords(found)} is damaged:`,
    ...shown,
    ...more,
    `Take another one in ${join(found.path, "..")}.`,
    "",
  ].join("\n")
}

function lostWords({ lostBlobs }: Verified): string[] {
  if (lostBlobs.length === 0) return []
  return [
    `${count(lostBlobs.length, "blob")} had been lost or damaged before the backup was made, ${lostBlobs[0]} for one.`,
  ]
}
