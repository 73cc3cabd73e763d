// From what was typed to campaigns that exist: looks up `last` and `all`, and checks job numbers against the campaign.
// Also the one way to do the same to many things with a bound on how many at once.
import { ClientError, usage } from "./errors.ts"
import type { Hub } from "./library.ts"
import { SELECT_MAX } from "./limits.ts"
import {
  indexOf,
  mergeRanges,
  type Name,
  parseId,
  parseSelector,
  type Range,
  readName,
  type Selection,
  severalThings,
} from "./selector.ts"

export interface Target {
  readonly campaign: bigint
  /** Null: every job. */
  readonly ranges: readonly Range[] | null
}

/** `all` means the user's campaigns that have not ended. Empty only for `all`. */
export async function findTargets(hub: Hub, texts: readonly string[]): Promise<Target[]> {
  const targets = new Map<bigint, Target>()
  for (const selection of parseSelector(texts)) {
    for (const target of await expand(hub, selection)) {
      const known = targets.get(target.campaign)
      const ranges =
        known === undefined
          ? target.ranges
          : known.ranges === null || target.ranges === null
            ? null
            : mergeRanges([...known.ranges, ...target.ranges])
      targets.set(target.campaign, { campaign: target.campaign, ranges })
    }
  }
  return [...targets.values()]
}

/** Exactly one campaign, and perhaps one job of it. */
export async function findOne(hub: Hub, text: string): Promise<{ campaign: bigint; index: number | null }> {
  const [target] = await expand(hub, parseId(text))
  const index = indexOf(target?.ranges ?? null)
  if (target === undefined || index === false) throw severalThings(text)
  return { campaign: target.campaign, index }
}

async function expand(hub: Hub, { campaign, jobs }: Selection): Promise<Target[]> {
  if (campaign === "last") return [{ campaign: await newest(hub), ranges: jobs }]
  if (campaign === "all") {
    const targets: Target[] = []
    for await (const { id } of hub.list({ live: true, max: SELECT_MAX })) targets.push({ campaign: id, ranges: null })
    return targets
  }
  return [typeof campaign === "string" ? await called(hub, campaign) : { campaign, ranges: jobs }]
}

/** The newest of that name. */
async function called(hub: Hub, text: Name): Promise<Target> {
  const { whole, short, jobs } = readName(text)
  let second: Target | null = null
  for await (const { id, name } of hub.list({ max: SELECT_MAX })) {
    if (name === whole) return { campaign: id, ranges: null }
    if (name === short) second ??= { campaign: id, ranges: jobs }
  }
  if (second !== null) return second
  throw new ClientError("not_found", `You have no campaign called "${short}".`, { hint: "See them: cah ls --all" })
}

async function newest(hub: Hub): Promise<bigint> {
  for await (const { id } of hub.list({ max: 1 })) return id
  throw new ClientError("not_found", "You have not submitted anything yet, so there is no last campaign.", {
    hint: "Submit something: cah sub -- echo hello",
  })
}

/** As it could be typed: 12, or 12.3,12.5-9. */
export function nameOfTarget({ campaign, ranges }: Target): string {
  if (ranges === null) return String(campaign)
  return ranges.map(({ first, last }) => `${campaign}.${first}${last === first ? "" : `-${last}`}`).join(",")
}

/** Throws unless all the jobs are there. */
export function checkRanges(campaign: bigint, ranges: readonly Range[], total: number): void {
  const beyond = ranges.find(range => range.last >= total)
  if (beyond === undefined) return
  throw usage(
    `Campaign ${campaign} has no job ${campaign}.${Math.max(beyond.first, total)}.`,
    total === 1 ? `It has one job, ${campaign}.0.` : `Its jobs are ${campaign}.0 to ${campaign}.${total - 1}.`,
  )
}

/** Runs `work` for each item, at most `parallel` at once. The first error stops the taking of new items and is thrown. */
export async function eachParallel<T>(
  items: AsyncIterable<T> | Iterable<T>,
  parallel: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = (async function* () {
    yield* items
  })()
  let stopped = false
  const worker = async () => {
    while (!stopped) {
      const next = await iterator.next()
      if (next.done === true) return
      await work(next.value)
    }
  }
  const settled = await Promise.allSettled(
    Array.from({ length: parallel }, () =>
      worker().catch(thrown => {
        stopped = true
        throw thrown
      }),
    ),
  )
  for (const result of settled) if (result.status === "rejected") throw result.reason
}
