// Who has used how much, for fair shares: core-seconds that count less the older they are, by owner and by project, as best
// effort apart. A figure is brought up to a moment when it is needed; nothing runs through all owners.
import { USAGE_HALF_LIFE_MS } from "../../limits.ts"
import type { Account, Now, State, Usage } from "../model.ts"
import type { UsageRow } from "../rows.ts"
import type { Stage } from "../stage.ts"

export function ownerKey(owner: string, bestEffort: boolean): string {
  return `${bestEffort ? "b" : "c"}${owner}`
}

/** Names hold no control characters, so that no two accounts have one key. */
function projectKey(owner: string, project: string, bestEffort: boolean): string {
  return `${ownerKey(owner, bestEffort)}\n${project}`
}

export function noUsage(nowMs: number): Usage {
  return { coreSeconds: 0, atMs: nowMs, slots: 0 }
}

/** The same one for all that has these three. */
export function accountOf(
  { accounts, usage }: Pick<State, "accounts" | "usage">,
  { owner, project, bestEffort }: Pick<Account, "owner" | "project" | "bestEffort">,
  nowMs: number,
): Account {
  const key = projectKey(owner, project, bestEffort)
  const known = accounts.get(key)
  if (known !== undefined) return known
  const ofOwner = ownerKey(owner, bestEffort)
  const ownerUsage = usage.get(ofOwner) ?? noUsage(nowMs)
  usage.set(ofOwner, ownerUsage)
  const account = { owner, project, bestEffort, ownerUsage, projectUsage: noUsage(nowMs) }
  accounts.set(key, account)
  return account
}

/** Core-seconds of an owner at this moment, by ownerKey. */
export function usedBy(state: State, key: string, nowMs: number): number {
  const usage = state.usage.get(key)
  return usage === undefined ? 0 : grown(usage, nowMs)
}

export function grown({ coreSeconds, atMs, slots }: Usage, nowMs: number): number {
  const passedMs = Math.max(0, nowMs - atMs)
  return coreSeconds / weightAt(passedMs) + (slots * passedMs) / 1_000
}

/** What a core-second used now weighs against one used at the start. Of figures weighted so the order does not change with time alone. */
export function weightAt(nowMs: number): number {
  return 2 ** (nowMs / USAGE_HALF_LIFE_MS)
}

/** The owner's part of the machines, against everybody's 1. */
export function shareOf(state: State, owner: string): number {
  return state.shares.get(owner) ?? 1
}

/** The account has so many slots more, or fewer, in use. */
export function useSlots({ now, effects }: Stage, account: Account, slots: number): void {
  useMore(account.ownerUsage, slots, now.nowMs)
  useMore(account.projectUsage, slots, now.nowMs)
  effects.accounts.add(account)
}

function useMore(usage: Usage, slots: number, nowMs: number): void {
  // Mostly it was counted in this tick already: twice for each job that ends and each that is offered.
  if (usage.atMs !== nowMs) {
    usage.coreSeconds = grown(usage, nowMs)
    usage.atMs = nowMs
  }
  usage.slots = Math.max(0, usage.slots + slots)
}

export function usageRow({ owner, project, bestEffort, projectUsage }: Account, now: Now): UsageRow {
  return { owner, project, bestEffort, coreSeconds: grown(projectUsage, now.nowMs), at: now.wallMs }
}

/** What each account had used. */
export function restoreUsage(
  state: Pick<State, "accounts" | "usage">,
  rows: readonly UsageRow[],
  { nowMs, wallMs }: Now,
): void {
  for (const { coreSeconds, at, ...of } of rows) {
    // A wall clock that jumped must not forgive, or punish, more than was used.
    const decayed = coreSeconds / weightAt(Math.max(0, wallMs - at))
    const { ownerUsage, projectUsage } = accountOf(state, of, nowMs)
    projectUsage.coreSeconds = decayed
    ownerUsage.coreSeconds += decayed
  }
}
