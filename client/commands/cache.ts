// cah cache: what the hub keeps of the stageins that were sent, to be named by later campaigns. rm tells the hub that they are needed no more;
// it keeps what a campaign still names.
import { create } from "@bufbuild/protobuf"
import { timestampMs } from "@bufbuild/protobuf/wkt"
import type { Command } from "commander"
import { ListBlobsResponseSchema, type OwnedBlob, OwnedBlobSchema } from "../../proto/gen/cah/v1/scientist_pb.ts"
import type { Context } from "../context.ts"
import { ClientError, usage } from "../errors.ts"
import { table } from "../output.ts"
import { parseDuration, plural, showBytes } from "../quantities.ts"
import { showMoment } from "../text.ts"
import { examples, type Group, type Verb } from "../verb.ts"

const ls: Verb = {
  define(command: Command): void {
    command
      .description("List the stageins of yours that the hub has, the last used first. Name one by --stagein sha256:…")
      .addHelpText("after", examples("cah cache ls", "cah cache ls -o csv > blobs.csv"))
  },

  async run(context: Context): Promise<number> {
    const blobs = await all(context)
    await context.output.many(
      { schema: ListBlobsResponseSchema, message: create(ListBlobsResponseSchema, { blobs }) },
      { schema: OwnedBlobSchema, messages: blobs },
      {
        table: () =>
          blobs.length === 0
            ? ""
            : table(
                blobs,
                [
                  { title: "DIGEST", value: digestOf },
                  { title: "SIZE", value: ({ blob }) => showBytes(blob?.sizeBytes ?? 0n), right: true },
                  { title: "USED", value: ({ usedAt }) => showMoment(usedAt) },
                  { title: "CAMPAIGNS", value: ({ campaigns }) => campaigns.join(", ") },
                ],
                context.output.colors,
              ),
        quiet: digestOf,
      },
    )
    context.output.note(blobs.length === 0 ? "There is none." : `${plural(blobs.length, "stagein")}, ${sum(blobs)}.`)
    return 0
  },
}

const rm: Verb = {
  define(command: Command): void {
    command
      .description(
        "Tell the hub that stageins are needed no more. What a campaign names stays as long as the campaign.",
      )
      .argument("[digest...]", "sha256:…, or as much of it as no other has")
      .option("--older <time>", "all that were not used for so long, like 30d")
      .addHelpText("after", examples("cah cache rm sha256:2c26b46b", "cah cache rm --older 30d"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const { older } = command.opts<{ older?: string }>()
    if (older === undefined && command.args.length === 0) {
      throw usage("Which stagein?", "Name it by its digest, as cah cache ls shows it, or say --older 30d.")
    }
    const beforeMs = older === undefined ? null : Date.now() - parseDuration(older, "--older") * 1000
    for (const text of command.args) checkDigest(text)
    const blobs = await all(context)
    const chosen = new Set(command.args.map(text => find(blobs, text)))
    for (const blob of blobs) {
      if (beforeMs !== null && blob.usedAt !== undefined && timestampMs(blob.usedAt) < beforeMs) chosen.add(blob)
    }
    const hub = await context.hub()
    for (const blob of chosen) await hub.removeBlob(digestOf(blob))
    const removed = [...chosen].map(digestOf)
    const kept = [...chosen].filter(({ campaigns }) => campaigns.length > 0)
    const names = [...new Set(kept.flatMap(({ campaigns }) => campaigns))].slice(0, CAMPAIGNS_SHOWN).join(",")
    await context.output.value(
      { removed },
      {
        table: () => `${plural(removed.length, "stagein")} removed, ${sum([...chosen])}.`,
        quiet: () => removed.join("\n"),
      },
    )
    // The hub keeps the bytes for those; only the name is gone from the list.
    if (kept.length > 0) {
      const them = kept.length === 1 ? "its bytes stay" : "the bytes of these stay"
      context.output.note(
        `${plural(kept.length, "stagein")} of campaigns ${names}: ${them} until they are forgotten (cah forget).`,
      )
    }
    return 0
  },
}

/** Campaigns named in a sentence. */
const CAMPAIGNS_SHOWN = 8

export const cache: Group = {
  define(command: Command): void {
    command
      .description("Stageins that the hub keeps for later campaigns.")
      .addHelpText("after", examples("cah cache", "cah cache rm --older 30d"))
  },
  verbs: { ls: { summary: "list them", verb: ls }, rm: { summary: "need some no more", verb: rm } },
  usual: "ls",
}

async function all(context: Context): Promise<OwnedBlob[]> {
  const blobs: OwnedBlob[] = []
  for await (const blob of (await context.hub()).blobs()) blobs.push(blob)
  return blobs
}

function digestOf({ blob }: OwnedBlob): string {
  return blob?.digest ?? ""
}

function sum(blobs: readonly OwnedBlob[]): string {
  return showBytes(blobs.reduce((bytes, { blob }) => bytes + (blob?.sizeBytes ?? 0n), 0n))
}

function checkDigest(text: string): void {
  if (/^(sha256:)?[0-9a-f]{4,64}$/.test(text)) return
  throw usage(
    `"${text}" is not a digest.`,
    "It is sha256: and hexadecimal digits, as cah cache ls shows it; four at least.",
  )
}

function find(blobs: readonly OwnedBlob[], text: string): OwnedBlob {
  const prefix = text.startsWith("sha256:") ? text : `sha256:${text}`
  const [found, other] = blobs.filter(blob => digestOf(blob).startsWith(prefix))
  if (found === undefined) {
    throw new ClientError("not_found", `The hub has no stagein ${text} of yours.`, { hint: "See them: cah cache ls" })
  }
  if (other !== undefined) throw usage(`Several stageins begin with ${text}.`, "Give more of its digits.")
  return found
}
