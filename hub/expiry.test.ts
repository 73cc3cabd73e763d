import assert from "node:assert/strict"
import { it } from "node:test"
import { CahError } from "./core/errors.ts"
import type { Node, NodeId } from "./core/model.ts"
import type { Write } from "./core/rows.ts"
import { Expiry } from "./expiry.ts"
import { ENROLMENT_KEPT_MS, EXPIRY_PAGE_NODES } from "./limits.ts"

const DAY_MS = 86_400_000
const NOW_MS = 1_700_000_000_000

function world(nodes: readonly { id: string; link: number | null; hasJobs?: boolean }[], nodesKeptMs: number | null) {
  const known = new Map(nodes.map(node => [node.id as NodeId, node]))
  const writes: Write[] = []
  const asked: number[] = []
  const lines: string[] = []
  const say = (_fields: unknown, line: string) => void lines.push(line)
  const expiry = new Expiry({
    store: {
      nodesSeenBefore(before, after, limit) {
        asked.push(before)
        return [...known.keys()].filter(id => id > after).slice(0, limit)
      },
    },
    engine: {
      commit: async (rows: readonly Write[]) => void writes.push(...rows),
      node: id => (known.get(id) as unknown as Node) ?? null,
      async forgetNode(id) {
        if (known.get(id)?.hasJobs) throw new CahError("failed_precondition", "has jobs")
        known.delete(id)
      },
    },
    clock: { nowMs: () => 0, wallMs: () => NOW_MS },
    log: { debug: say, info: say, warn: say, error: say },
    nodesKeptMs,
    dropTokens: async () => 0,
    doubt: () => null,
  })
  return { expiry, known, writes, asked, lines }
}

it("O9: nodes that did not come for long are forgotten, over many pages; those that are here or have jobs are not", async t => {
  const many = Array.from({ length: 3 * EXPIRY_PAGE_NODES }, (_, at) => ({ id: `n${10_000 + at}`, link: null }))
  const { expiry, known, asked, lines } = world(
    [{ id: "here", link: 1 }, { id: "held", link: null, hasJobs: true }, ...many],
    90 * DAY_MS,
  )
  t.after(() => expiry.stop())
  await expiry.wake()
  assert.deepEqual([...known.keys()], ["here", "held"])
  assert.equal(asked[0], NOW_MS - 90 * DAY_MS)
  assert.deepEqual(lines, ["nodes that did not come for long are forgotten"])
})

it("O9: enrolments go a day after their end, and nodes stay where the operator says so", async t => {
  const { expiry, known, writes } = world([{ id: "n1", link: null }], null)
  t.after(() => expiry.stop())
  await expiry.wake()
  assert.deepEqual(writes, [{ kind: "forgetEnrolments", before: NOW_MS - ENROLMENT_KEPT_MS }])
  assert.equal(known.size, 1)
})
