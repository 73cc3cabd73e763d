// An owner's part of the machines when all want more than there is, as the operator says, and what owners have used of it.

import type { ShareSet } from "../events.ts"
import type { Account, State } from "../model.ts"
import type { Stage } from "../stage.ts"
import { renewOwner } from "./queue.ts"
import { grown, ownerKey, shareOf, usedBy } from "./usage.ts"

export function onShareSet({ state, effects, now }: Stage, { request, owner, share }: ShareSet): void {
  if (share === 1) state.shares.delete(owner)
  else state.shares.set(owner, share)
  renewOwner(state, owner, now.nowMs)
  effects.writes.push({ kind: "share", owner, share })
  effects.speech.push({ kind: "Reply", request, reply: { kind: "done" } })
}

export interface OwnerShare {
  readonly owner: string
  readonly share: number
  readonly usedCoreSeconds: number
  readonly slotsNow: number
  readonly projects: readonly { readonly project: string; readonly usedCoreSeconds: number }[]
}

/** By owner. What was used as best effort counts for nobody and is not here. */
export function sharesOf(state: State, nowMs: number): OwnerShare[] {
  const projects = new Map<string, Account[]>([...state.shares.keys()].map(owner => [owner, []]))
  for (const account of state.accounts.values()) {
    if (account.bestEffort || grown(account.projectUsage, nowMs) === 0) continue
    projects.set(account.owner, [...(projects.get(account.owner) ?? []), account])
  }
  return [...projects].sort(byName).map(([owner, accounts]) => {
    const key = ownerKey(owner, false)
    return {
      owner,
      share: shareOf(state, owner),
      usedCoreSeconds: usedBy(state, key, nowMs),
      slotsNow: state.usage.get(key)?.slots ?? 0,
      projects: accounts.map(({ project, projectUsage }) => ({
        project,
        usedCoreSeconds: grown(projectUsage, nowMs),
      })),
    }
  })
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0
}
