// Use cases over both memory stores and the production engine, without a front and without nodes.

import { Enrolments } from "../auth/enrolments.ts"
import type { Caller } from "../auth/tokens.ts"
import { Tokens } from "../auth/tokens.ts"
import { MemoryBlobStore } from "../blobs/memory.ts"
import type { Clock, Log, LogTap } from "../core/ports.ts"
import type { ScopeName } from "../core/rows.ts"
import { HubEngine } from "../engine.ts"
import { createMetrics } from "../metrics.ts"
import { MemoryStore } from "../store/memory/memory.ts"
import { Cases } from "./cases.ts"
import type { CaseParts } from "./parts.ts"
import { type QuotaLimits, Quotas } from "./quotas.ts"

const clock: Clock = { nowMs: () => performance.now(), wallMs: () => Date.now() }
const timer = { soon: (run: () => void) => void setImmediate(run), at: () => () => {} }

export interface TestCases {
  readonly cases: Cases
  readonly store: MemoryStore
  readonly blobs: MemoryBlobStore
  readonly engine: HubEngine
  /** What was logged as info, in order. */
  readonly infos: { readonly fields: object; readonly message: string }[]
  close(): Promise<void>
}

interface Options extends Partial<Pick<CaseParts, "diskFloorBytes" | "logTap">> {
  readonly quotas?: Partial<QuotaLimits>
  /** What the store has before the engine starts. */
  prepare?(store: MemoryStore): Promise<void>
}

const noTap: LogTap = { follow: () => ({ stop() {} }) }

export async function openCases({ quotas, prepare, ...change }: Options = {}): Promise<TestCases> {
  const store = new MemoryStore({ wallMs: clock.wallMs })
  await prepare?.(store)
  const blobs = new MemoryBlobStore({ wallMs: clock.wallMs })
  const infos: TestCases["infos"] = []
  const log: Log = {
    debug() {},
    info: (fields, message) => void infos.push({ fields, message }),
    warn() {},
    error() {},
  }
  const engine = new HubEngine({ store, clock, timer, log })
  engine.start({
    offer() {},
    speak() {},
    drop() {},
    resume() {},
    health: () => ({ links: 0, streams: 0, bufferedBytes: 0 }),
  })
  const metrics = createMetrics("0.0.0-test")
  const most = { jobs: 1e9, submitsPerSecond: 1e6, bytes: 1e15, watches: 1e6, ...quotas }
  const cases = new Cases({
    engine,
    store,
    blobs,
    logTap: noTap,
    clock,
    metrics,
    log,
    tokens: new Tokens({ store, engine, clock, log }),
    enrolments: new Enrolments({ store, engine, clock }),
    retention: { expiresAt: endedAt => endedAt + 1, wake: async () => {} },
    diskFloorBytes: 0,
    quotas: new Quotas(most, clock),
    encodeSpec: spec => Buffer.from(JSON.stringify(spec)),
    ...change,
  })
  return {
    cases,
    store,
    blobs,
    engine,
    infos,
    async close() {
      await engine.drain()
      metrics.close()
    },
  }
}

export function callerOf(principal: string, scopes: readonly ScopeName[] = ["read", "submit", "cancel"]): Caller {
  return { token: `of ${principal}`, principal, scopes, expiresAt: null, revoked: new AbortController().signal }
}
