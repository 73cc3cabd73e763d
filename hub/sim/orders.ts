// What simulated scientists submit: campaigns of every kind, from a seed. And for a look at fair shares, three owners with
// different pasts who all want more than there is.
import { createHash } from "node:crypto"
import type { Digest } from "../../proto/wire/digest.ts"
import type { Rules } from "../core/model.ts"
import type { Order } from "../core/ports.ts"
import { noRules } from "../core/rules.ts"
import type { Faults } from "./faults.ts"
import type { Random } from "./random.ts"

/** A campaign that must have ended first, by its key. */
export interface After {
  readonly key: string
  readonly success: boolean
}

export interface Planned {
  readonly order: Order
  readonly after: After | null
  /** The key of the container that it runs inside. */
  readonly within: string | null
  /** When it is submitted, ms from the start. */
  readonly atMs: number
}

interface Circumstances {
  readonly random: Random
  readonly faults: Faults
  readonly jobs: number
  /** Virtual time with faults, ms. */
  readonly spanMs: number
  readonly walltimeMs: number
  /** Of the largest node. */
  readonly slotsMax: number
  /** Wall time at the start, ms. */
  readonly wallMs: number
}

const needs = { slots: 1, memoryBytes: 1e6, diskBytes: 1e6 }
const two = { ...needs, slots: 2 }

export function planOrders(around: Circumstances): Planned[] {
  const { random, faults, jobs, spanMs, walltimeMs } = around
  const planned: Planned[] = []
  const campaigns = Math.min(40, Math.max(3, Math.ceil(jobs / 2_500)))
  let left = jobs
  for (let i = 0; i < campaigns && left > 0; i++) {
    const total = i === campaigns - 1 ? left : Math.ceil(jobs / campaigns)
    left -= total
    const order = { ...orderOf(i, total, walltimeMs), rules: { ...randomRules(around), ...bounds(around) } }
    const after = i > 0 && random.chance(faults.rules) ? { key: `key-${i - 1}`, success: random.chance(0.3) } : null
    const plain = { order, after, within: null, atMs: random.between(0, spanMs * 0.1) }
    planned.push(...(random.chance(faults.kinds) ? ofSomeKind(around, plain, `${i}`) : [plain]))
  }
  return planned
}

function randomRules({ random, faults, walltimeMs }: Circumstances): Rules {
  if (!random.chance(faults.rules)) return noRules
  const shape = { needs: two, walltimeMs }
  return { ...noRules, retryMax: random.whole(0, 3), shapes: random.chance(0.5) ? [shape] : [] }
}

function bounds({ random, faults }: Circumstances): Partial<Rules> {
  if (faults.bounds === 0) return {}
  return {
    ...(random.chance(faults.bounds) ? { failMax: random.whole(1, 5) } : {}),
    ...(random.chance(faults.bounds) ? { atOnceMax: random.whole(1, 6) } : {}),
  }
}

function ofSomeKind(around: Circumstances, plain: Planned, name: string): Planned[] {
  const { random, walltimeMs, wallMs, spanMs, slotsMax } = around
  const { order } = plain
  const withRules = (rules: Partial<Rules>): Planned => ({
    ...plain,
    order: { ...order, rules: { ...order.rules, ...rules } },
  })
  switch (random.whole(0, 4)) {
    case 0:
      return [withRules({ bestEffort: true })]
    case 1: {
      const startAt = wallMs + plain.atMs + random.between(0, spanMs / 2)
      return [withRules({ reservation: { startAt, endAt: random.chance(0.5) ? startAt + spanMs / 4 : null } })]
    }
    case 2:
      // Too large for most gaps, and for half of the nodes.
      return [{ ...plain, order: { ...order, needs: { ...needs, slots: Math.min(3, slotsMax) }, project: "large" } }]
    case 3:
      return [{ ...plain, order: { ...order, project: `project ${random.whole(1, 3)}` } }]
    default: {
      const box = orderOf(name, random.whole(1, 3), walltimeMs)
      const container = {
        ...box,
        key: `box-${name}`,
        owner: order.owner,
        needs: two,
        rules: { ...noRules, container: true },
      }
      const atMs = plain.atMs + random.between(0, 60_000)
      return [
        { order: container, after: null, within: null, atMs: plain.atMs },
        { ...plain, after: null, within: container.key, atMs },
      ]
    }
  }
}

/** Three owners, of whom the third has twice the share of the others. */
export const fairShares: readonly (readonly [owner: string, share: number, usedCoreSeconds: number])[] = [
  ["ada", 1, 400_000],
  ["bob", 1, 20_000],
  ["cleo", 2, 0],
]

export function planFair({ jobs, walltimeMs }: Circumstances): Planned[] {
  return fairShares.map(([owner], i) => {
    const order = { ...orderOf(i, Math.ceil(jobs / fairShares.length), walltimeMs), owner, priority: 0 }
    return { order, after: null, within: null, atMs: 1_000 }
  })
}

function orderOf(number: number | string, total: number, walltimeMs: number): Order {
  const key = `key-${number}`
  return {
    owner: `owner${Number(number) % 4}`,
    key,
    specDigest: `sha256:${createHash("sha256").update(key).digest("hex")}` as Digest,
    name: key,
    project: "",
    spec: new Uint8Array(0),
    stagein: null,
    needs,
    walltimeMs,
    rules: noRules,
    held: false,
    waitsFor: [],
    priority: Number(number) % 3,
    total,
    lines: null,
  }
}
