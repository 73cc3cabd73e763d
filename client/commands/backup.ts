// cah admin backup: has the hub copy its database and blobs to where its operator said, while it works.
import type { Command } from "commander"
import { type BackupResponse, BackupResponseSchema } from "../../proto/gen/cah/v1/operator_pb.ts"
import type { Context } from "../context.ts"
import { ClientError } from "../errors.ts"
import { BACKUPS_KEPT_MAX } from "../limits.ts"
import { parseCount, plural, showBytes } from "../quantities.ts"
import { examples, type Verb } from "../verb.ts"

/** How often a person hears how far it is. */
const TOLD_EVERY_MS = 10_000

export const backup: Verb = {
  define(command: Command): void {
    command
      .description(
        "Back up the hub while it works: its database as of now, and the blobs that no earlier backup has. It goes where the hub was told to (cah-hub --backups); cah-hub restore brings it back.",
      )
      .option("--keep <n>", "remove older backups, so that this many stay (all)")
      .addHelpText(
        "after",
        examples("cah admin backup", "cah admin backup --keep 7    # for a daily one, kept for a week"),
      )
  },

  async run(context: Context, command: Command): Promise<number> {
    const { keep } = command.opts<{ keep?: string }>()
    const kept = keep === undefined ? null : parseCount(keep, "--keep", 1, BACKUPS_KEPT_MAX)
    let last: BackupResponse | null = null
    let toldAtMs = performance.now()
    for await (const far of (await context.hub()).operator.backup(kept)) {
      last = far
      if (performance.now() - toldAtMs < TOLD_EVERY_MS) continue
      toldAtMs = performance.now()
      const { blobsDone, blobs, copiedBytes } = far
      context.output.note(`${blobsDone} of ${plural(blobs, "blob")} looked at, ${showBytes(copiedBytes)} copied`)
    }
    if (last?.made === undefined) {
      throw new ClientError("unavailable", "The hub ended the backup without saying that it was made.", {
        hint: "Try again: it goes on with the blobs copied so far.",
      })
    }
    const { name, blobs, copiedBytes, made } = last
    await context.output.one(BackupResponseSchema, last, {
      table: () =>
        `Backup ${name}: ${plural(made.campaigns, "campaign")}, ${plural(blobs, "blob")} of ${showBytes(made.blobBytes)} (${showBytes(copiedBytes)} new), in ${made.path} on the hub's machine`,
      quiet: () => name,
    })
    if (made.removed.length > 0) context.output.note(`Removed: ${made.removed.join(", ")}`)
    if (made.lostBlobs.length > 0) {
      context.output.warn(
        `${plural(made.lostBlobs.length, "blob")} of the hub are lost or damaged and in no backup made now; its log names them.`,
      )
    }
    return 0
  },
}
