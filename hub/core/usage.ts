// Who has used how much, for fair shares: core-seconds that count less the older they are. An owner's figure is brought up
// to a moment when it is needed; nothing runs through all owners.
import { USAGE_HALF_LIFE_MS } from "../limits.ts"
import type { Stage } from "./change.ts"
import type { State, Usage } from "./model.ts"
import type { UsageRow } from "./ports.ts"

/** The owner's core-seconds at this moment. Shares are equal: who has used least goes first. */
export function usedBy(state: State, owner: string, nowMs: number): number {
  const usage = state.usage.get(owner)
  return usage === undefined ? 0 : grown(usage, nowMs)
}

function grown({ coreSeconds, atMs, slots }: Usage, nowMs: number): number {
  const passedMs = Math.max(0, nowMs - atMs)
  return coreSeconds * 2 ** (-passedMs / USAGE_HALF_LIFE_MS) + (slots * passedMs) / 1_000
}

/** The owner has so many slots more, or fewer, in use. */
export function useSlots(stage: Stage, owner: string, slots: number): void {
  const { state, now, effects } = stage
  const before = state.usage.get(owner)
  const coreSeconds = usedBy(state, owner, now.nowMs)
  state.usage.set(owner, { coreSeconds, atMs: now.nowMs, slots: Math.max(0, (before?.slots ?? 0) + slots) })
  effects.owners.add(owner)
}

export function usageRow(state: State, owner: string, now: { nowMs: number; wallMs: number }): UsageRow {
  return { owner, coreSeconds: usedBy(state, owner, now.nowMs), at: now.wallMs }
}

export function restoreUsage(rows: readonly UsageRow[], now: { nowMs: number; wallMs: number }): Map<string, Usage> {
  const usage = new Map<string, Usage>()
  for (const { owner, coreSeconds, at } of rows) {
    // A wall clock that jumped must not forgive, or punish, more than was used.
    const decayed = coreSeconds * 2 ** (-Math.max(0, now.wallMs - at) / USAGE_HALF_LIFE_MS)
    usage.set(owner, { coreSeconds: decayed, atMs: now.nowMs, slots: 0 })
  }
  return usage
}
