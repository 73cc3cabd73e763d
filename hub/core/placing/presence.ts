// When a node is there: for each hour of the week, how many of the last weeks it was connected in it. Volunteers' machines
// have habits, and what may be expected of them at an hour is judged by that (reservations.ts). Hours are those of UTC.
import { PRESENCE_MEMORY_MS, PRESENCE_WEEKS } from "../../limits.ts"
import type { Node, Now, Presence } from "../model.ts"

const HOURS = 168
const HOUR_MS = 3_600_000
/** Nothing older than this is filled in: a node that was away for longer begins anew. */
const FILLED_HOURS_MAX = 4 * HOURS

export function noPresence(wallMs: number): Presence {
  return { weeks: new Uint8Array(2 * HOURS), hour: hourOf(wallMs) }
}

/** Every hour that began since the last note was spent so. True: there were any. */
export function notePresence(presence: Presence, wallMs: number, wasThere: boolean): boolean {
  const now = hourOf(wallMs)
  if (now <= presence.hour) {
    // A wall clock that went back: those hours are noted already.
    return false
  }
  const { weeks } = presence
  for (let hour = Math.max(presence.hour + 1, now - FILLED_HOURS_MAX); hour <= now; hour++) {
    const at = hour % HOURS
    if (weeks[at]! >= PRESENCE_WEEKS) {
      weeks[at]! >>= 1
      weeks[HOURS + at]! >>= 1
    }
    weeks[at]!++
    if (wasThere) weeks[HOURS + at]!++
  }
  presence.hour = now
  return true
}

/** As one row of bytes: the hour, then weeks. */
export function presenceBytes({ weeks, hour }: Presence): Uint8Array {
  const bytes = new Uint8Array(4 + 2 * HOURS)
  new DataView(bytes.buffer).setUint32(0, hour)
  bytes.set(weeks, 4)
  return bytes
}

/** Null: nothing is known, as of a node from before this was noted. */
export function presenceOf(bytes: Uint8Array | null, wallMs: number): Presence {
  if (bytes?.byteLength !== 4 + 2 * HOURS) return noPresence(wallMs)
  const hour = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  return { weeks: bytes.slice(4), hour }
}

/** How likely the node is connected at a moment to come, 0 to 1. */
export function likelihood(node: Node, atWallMs: number, now: Now): number {
  const { weeks } = node.presence
  const at = hourOf(atWallMs) % HOURS
  let [allWeeks, allThere] = [0, 0]
  for (let hour = 0; hour < HOURS; hour++) {
    allWeeks += weeks[hour]!
    allThere += weeks[HOURS + hour]!
  }
  // With little known of the hour the node's habit at large speaks for it, with little of that an even chance.
  const atLarge = (allThere + 1) / (allWeeks + 2)
  const usual = (weeks[HOURS + at]! + 2 * atLarge) / (weeks[at]! + 2)
  const memory = Math.exp(-Math.max(0, atWallMs - now.wallMs) / PRESENCE_MEMORY_MS)
  return memory * (node.link === null ? 0 : 1) + (1 - memory) * usual
}

function hourOf(wallMs: number): number {
  return Math.floor(wallMs / HOUR_MS)
}
