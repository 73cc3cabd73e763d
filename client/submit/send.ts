// From a draft to a campaign: what only the hub can tell is looked up, the stagein is sent, the campaign is submitted under a key that
// was made before the first try, so that a lost answer never submits twice.
import type { SubmitResponse } from "../../proto/gen/cah/v1/scientist_pb.ts"
import { parseDigest } from "../../proto/wire/digest.ts"
import type { Context } from "../context.ts"
import { at, ClientError, usage } from "../errors.ts"
import type { Hub } from "../library.ts"
import { AFTER_MAX, DIGEST_CAMPAIGNS_MAX, KEY_CHARACTERS_MAX } from "../limits.ts"
import { showBytes } from "../quantities.ts"
import { parseSelector, type Selection } from "../selector.ts"
import type { StageinOptions } from "../stagein.ts"
import { findOne, findTargets } from "../targets.ts"
import type { Draft } from "./draft.ts"
import { type Wishes, wishesOf } from "./flags.ts"
import { isDigest } from "./input.ts"
import type { Notice } from "./notify.ts"
import { unreportedHint } from "./properties.ts"
import { type Spec, saidFromNow } from "./spec.ts"

export interface BlobName {
  readonly digest: string
  readonly sizeBytes: bigint
}

export function checkKey(key: string, max = KEY_CHARACTERS_MAX): string {
  if (/^[\x21-\x7e]+$/.test(key) && key.length <= max) return key
  throw usage(`--idempotency-key: give 1 to ${max} visible ASCII characters.`)
}

/** With a key that is repeated, the content must be the same too. */
export function checkFixed(wishes: Wishes): void {
  const flag = saidFromNow(wishes)
  if (flag === null) return
  throw usage(
    `${flag} as a time from now would be another one at each try with the same --idempotency-key.`,
    `Say the moment: ${flag} "2026-11-30 18:00"`,
  )
}

/** Flags of a submission that say how to submit, and where; the others describe the campaign. */
const others = new Set([
  ...[
    "scanscript",
    "file",
    "resubmit",
    "idempotencyKey",
    "dryRun",
    "wait",
    "follow",
    "get",
    "propagate",
    "json",
    "yaml",
  ],
  ...["hub", "output", "tokenFile", "caFile", "ca", "insecure", "color", "progress", "queue"],
])

export function wishesAlone(values: Readonly<Record<string, unknown>>): Wishes {
  return wishesOf(Object.fromEntries(Object.entries(values).filter(([name]) => !others.has(name))))
}

/** The draft's specification with the campaigns that it names. */
export async function named(hub: Hub, draft: Draft): Promise<Spec> {
  const after = [
    ...(await dependencies(hub, draft.after, "--after", false)),
    ...(await dependencies(hub, draft.afterOk, "--after-ok", true)),
  ]
  if (after.length > AFTER_MAX) {
    throw usage(
      `A campaign waits for ${AFTER_MAX} others at most, and these are ${after.length}.`,
      "Let another campaign wait for some of them: cah sub -t noop --after 1-100",
    )
  }
  return {
    ...draft.spec,
    after,
    gather: draft.gather === null ? 0n : await wholeCampaign(hub, draft.gather, "--gather "),
    inside: draft.inside === null ? 0n : await wholeCampaign(hub, draft.inside, "-t inner="),
  }
}

/** The same with its stagein, which is sent if the hub has not got it. */
export async function complete(context: Context, hub: Hub, draft: Draft): Promise<Spec> {
  const spec = await named(hub, draft)
  return draft.stagein === null
    ? spec
    : { ...spec, stagein: await blobFor(context, hub, draft.stagein, { dereference: draft.dereference }) }
}

export interface Placement {
  readonly spec: Spec
  readonly parameters: readonly string[]
  readonly notices: readonly Notice[]
  readonly idempotencyKey: string
  /** What the user would repeat: within a graph, the key that the others are made from. */
  readonly typedKey?: string
}

export async function place(context: Context, hub: Hub, placement: Placement): Promise<SubmitResponse> {
  const { typedKey, ...submission } = placement
  const key = typedKey ?? placement.idempotencyKey
  context.onInterrupt = `It may have been submitted: see cah ls, or repeat with --idempotency-key ${key}`
  const answer = await hub.submit(submission).catch(thrown => explainProperty(hub, submission.spec, thrown))
  context.hubIsBack()
  context.onInterrupt = `The work goes on; cancel it with: cah del ${answer.campaign}`
  for (const warning of answer.warnings) context.output.warn(warning)
  return answer
}

/** A name that no node reports is the likeliest reason why none can ever run it. */
async function explainProperty(hub: Hub, { property = "" }: Spec, thrown: unknown): Promise<never> {
  const error = ClientError.from(thrown)
  if (property === "" || error.reason !== "no_node") throw error
  const hint = await unreportedHint(hub, property)
  throw hint === "" ? error : new ClientError(error.code, error.message, { hint, reason: error.reason, cause: error })
}

async function dependencies(hub: Hub, texts: readonly string[], flag: string, success: boolean) {
  if (texts.length === 0) return []
  if (selectionsOf(texts, flag).some(selection => selection.campaign === "all" || selection.jobs !== null)) {
    throw usage(
      `${flag} ${texts.join(",")}: it waits for whole campaigns.`,
      `Write it like ${flag} 12,14 or ${flag} last.`,
    )
  }
  const targets = await findTargets(hub, texts)
  return targets.map(({ campaign }) => ({ campaign, success }))
}

function selectionsOf(texts: readonly string[], flag: string): Selection[] {
  try {
    return parseSelector(texts)
  } catch (thrown) {
    throw at(flag, ClientError.from(thrown))
  }
}

/** `flag` with what stands between it and its value. */
export async function wholeCampaign(hub: Hub, text: string, flag: string): Promise<bigint> {
  const { campaign, index } = await findOne(hub, text)
  if (index === null) return campaign
  throw usage(`${flag}${text}: it takes a whole campaign.`, `Write it like ${flag}${campaign}.`)
}

async function blobFor(context: Context, hub: Hub, stagein: string, options: StageinOptions): Promise<BlobName> {
  if (isDigest(stagein)) return storedBlob(hub, stagein)
  return sendStagein(context, hub, stagein, options)
}

/** "sha256:…" as `cah show` prints it, or with its size after a slash. It must be on the hub, sent by the same owner. */
export async function storedBlob(hub: Hub, text: string): Promise<BlobName> {
  const [, digest = "", size] = /^([^/]*)(?:\/(\d{1,18}))?$/.exec(text) ?? []
  if (parseDigest(digest) === null) {
    throw usage(
      `--stagein: ${JSON.stringify(text)} is not a digest.`,
      "It is sha256: and 64 hexadecimal digits, as cah show prints it.",
    )
  }
  const sizeBytes = size === undefined ? await sizeOf(hub, digest) : BigInt(size)
  if (sizeBytes !== null && (await hub.has({ digest, sizeBytes }))) return { digest, sizeBytes }
  throw new ClientError("bad_stagein", `The hub has no stagein ${digest} of yours.`, {
    hint:
      size === undefined
        ? `None of your last ${DIGEST_CAMPAIGNS_MAX} campaigns had it. Send the directory, or add the size in bytes: ${digest}/SIZE`
        : "Send the directory itself: --stagein DIR",
  })
}

/** The hub is asked for blobs by digest and size; the size stands in the campaigns that had it. */
async function sizeOf(hub: Hub, digest: string): Promise<bigint | null> {
  for await (const { id } of hub.list({ max: DIGEST_CAMPAIGNS_MAX })) {
    const { campaign } = await hub.show(id)
    if (campaign?.spec?.stagein?.digest === digest) return campaign.spec.stagein.sizeBytes
  }
  return null
}

async function sendStagein(
  context: Context,
  hub: Hub,
  path: string,
  { dereference = false }: StageinOptions,
): Promise<BlobName> {
  const bar = context.bar({ label: "stagein", unit: "bytes" })
  try {
    const { blob, sentBytes } = await hub.upload(path, {
      dereference,
      onProgress: (done, total) => {
        context.hubIsBack()
        bar.update(done, total)
      },
    })
    bar.clear()
    const size = showBytes(blob.sizeBytes)
    context.output.note(sentBytes === 0 ? `The hub has this stagein already (${size}).` : `Stagein sent: ${size}.`)
    return blob
  } finally {
    bar.clear()
  }
}
