// Who has used how much, for fair shares: core-seconds that count less the older they are, by owner and by project, as best
// effort apart. A figure is brought up to a moment when it is needed; nothing runs through all owners.
import { USAGE_HALF_LIFE_MS } from "../limits.ts"
import type { Stage } from "./change.ts"
import type { Account, State, Usage } from "./model.ts"
import type { UsageRow } from "./ports.ts"

export function ownerKey(owner: string, bestEffort: boolean): string {
  return `${bestEffort ? "b" : "c"}${owner}`
}

/** Names hold no control characters, so that no two accounts have one key. */
export function projectKey({ owner, project, bestEffort }: Account): string {
  return `${ownerKey(owner, bestEffort)}\n${project}`
}

/** Core-seconds at this moment, of an owner or of a project by its key. */
export function usedBy(state: State, key: string, nowMs: number): number {
  const usage = state.usage.get(key)
  return usage === undefined ? 0 : grown(usage, nowMs)
}

function grown({ coreSeconds, atMs, slots }: Usage, nowMs: number): number {
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
export function useSlots(stage: Stage, account: Account, slots: number): void {
  const { state, now, effects } = stage
  const key = projectKey(account)
  useMore(state.usage, ownerKey(account.owner, account.bestEffort), slots, now.nowMs)
  useMore(state.usage, key, slots, now.nowMs)
  state.accounts.set(key, account)
  effects.accounts.set(key, account)
}

function useMore(usage: Map<string, Usage>, key: string, slots: number, nowMs: number): void {
  const one = usage.get(key)
  if (one === undefined) {
    usage.set(key, { coreSeconds: 0, atMs: nowMs, slots: Math.max(0, slots) })
    return
  }
  one.coreSeconds = grown(one, nowMs)
  one.atMs = nowMs
  one.slots = Math.max(0, one.slots + slots)
}

export function usageRow(state: State, account: Account, now: { nowMs: number; wallMs: number }): UsageRow {
  return { ...account, coreSeconds: usedBy(state, projectKey(account), now.nowMs), at: now.wallMs }
}

export function restoreUsage(rows: readonly UsageRow[], now: { nowMs: number; wallMs: number }): Map<string, Usage> {
  const usage = new Map<string, Usage>()
  for (const { coreSeconds, at, ...account } of rows) {
    // A wall clock that jumped must not forgive, or punish, more than was used.
    const decayed = coreSeconds / weightAt(Math.max(0, now.wallMs - at))
    usage.set(projectKey(account), { coreSeconds: decayed, atMs: now.nowMs, slots: 0 })
    const key = ownerKey(account.owner, account.bestEffort)
    const sum = (usage.get(key)?.coreSeconds ?? 0) + decayed
    usage.set(key, { coreSeconds: sum, atMs: now.nowMs, slots: 0 })
  }
  return usage
}
