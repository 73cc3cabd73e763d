import assert from "node:assert/strict"
import { test } from "node:test"
import type { CampaignId, NodeId } from "../core/model.ts"
import type { CreditRow, LedgerLine } from "../core/volunteers.ts"
import { brokenLine, CHAIN_START, chained } from "./chain.ts"

function ledger(count: number): LedgerLine[] {
  const lines: LedgerLine[] = []
  for (let index = 0; index < count; index++) {
    const row: CreditRow = {
      campaign: 1 as CampaignId,
      index,
      attempt: 1,
      account: "volunteer:1",
      node: "n" as NodeId,
      slotMs: 10,
      at: index,
    }
    lines.push({ ...row, sequence: index + 1, hash: chained(lines.at(-1)?.hash ?? CHAIN_START, row) })
  }
  return lines
}

test("a whole ledger has no broken line", () => {
  assert.equal(brokenLine([]), null)
  assert.equal(brokenLine(ledger(5)), null)
})

test("a line that was changed, taken out or exchanged is found", () => {
  const set = (lines: LedgerLine[], change: Partial<LedgerLine>) => lines.splice(2, 1, { ...lines[2]!, ...change })
  const changes: ((lines: LedgerLine[]) => void)[] = [
    lines => set(lines, { slotMs: 11 }),
    lines => set(lines, { account: "volunteer:2" }),
    lines => set(lines, { node: "m" as NodeId }),
    lines => lines.splice(2, 1),
    lines => lines.splice(2, 2, lines[3]!, lines[2]!),
    // The line with a hash that fits it: the next one tells.
    lines => set(lines, { slotMs: 11, hash: chained(lines[1]!.hash, { ...lines[2]!, slotMs: 11 }) }),
  ]
  const found = changes.map(change => {
    const lines = ledger(5)
    change(lines)
    return brokenLine(lines)
  })
  assert.deepEqual(found, [3, 3, 3, 3, 3, 4])
})
