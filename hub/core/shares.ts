// An owner's part of the machines when all want more than there is, as the operator says.
import type { Stage } from "./change.ts"
import type { ShareSet } from "./events.ts"
import { renewOwner } from "./queue.ts"

export function onShareSet({ state, effects, now }: Stage, { request, owner, share }: ShareSet): void {
  if (share === 1) state.shares.delete(owner)
  else state.shares.set(owner, share)
  renewOwner(state, owner, now.nowMs)
  effects.writes.push({ kind: "share", owner, share })
  effects.speech.push({ kind: "Reply", request, reply: { kind: "done" } })
}
