// The ledger's chain: each line's hash covers the line and the hash before it, so that no line can be changed, taken out or put
// in between without every later hash telling. Made by the store in the line's own transaction; anybody can check it again.
import { createHash } from "node:crypto"
import type { CreditRow, LedgerLine } from "../core/volunteers.ts"

/** Before the first line: 32 zero bytes. */
export const CHAIN_START: Uint8Array = new Uint8Array(32)

/** SHA-256 of the hash before, then of the line as the JSON array [campaign, index, attempt, account, node, slotMs, at]. */
export function chained(before: Uint8Array, line: CreditRow): Uint8Array {
  const { campaign, index, attempt, account, node, slotMs, at } = line
  const text = JSON.stringify([campaign, index, attempt, account, node, slotMs, at])
  return new Uint8Array(createHash("sha256").update(before).update(text).digest())
}

/** The first line, by its number, whose hash does not follow from the line before; null when all do. */
export function brokenLine(lines: Iterable<LedgerLine>): number | null {
  let before = CHAIN_START
  let sequence = 0
  for (const line of lines) {
    sequence++
    const hash = chained(before, line)
    if (line.sequence !== sequence || Buffer.compare(hash, line.hash) !== 0) return sequence
    before = hash
  }
  return null
}
