// graphile-worker on PostgreSQL: tasks added a hundred in a statement by its own SQL function, workers in one process.

import { Counter } from "../counter.ts"
import type { Client } from "../peer.ts"
import { library } from "./library.ts"

interface Graphile {
  runMigrations(options: { connectionString: string }): Promise<void>
  run(options: {
    connectionString: string
    concurrency: number
    maxPoolSize: number
    noHandleSignals: boolean
    pollInterval: number
    taskList: Record<string, (payload: { task: string }) => Promise<void>>
    logger: unknown
  }): Promise<{
    events: { on(event: "job:complete", listener: (told: { job: { payload: { task: string } } }) => void): void }
  }>
  readonly Logger: new (factory: () => () => void) => unknown
}

interface Pg {
  readonly Pool: new (options: {
    connectionString: string
    max: number
  }) => {
    query(sql: string, values: unknown[]): Promise<unknown>
  }
}

const BULK = 100
const AT_ONCE = 4
/** Connections of one worker process: what the database is given by default, less a few. */
const POOL = 80
const add = `
  SELECT count(*) FROM graphile_worker.add_jobs(ARRAY(
    SELECT json_populate_record(NULL::graphile_worker.job_spec, json_build_object('identifier', 'noop', 'payload', json_build_object('task', task)))
    FROM unnest($1::text[]) AS task))`

export const graphile: Client = async ({ address, tasks, workers, slots }, counter) => {
  const { run, runMigrations, Logger } = library<Graphile>("graphile-worker")
  const { Pool } = library<Pg>("pg")
  await runMigrations({ connectionString: address })
  const pool = new Pool({ connectionString: address, max: AT_ONCE })
  const runner = await run({
    connectionString: address,
    concurrency: workers * slots,
    maxPoolSize: POOL,
    noHandleSignals: true,
    pollInterval: 200,
    taskList: { noop: async () => {} },
    logger: new Logger(() => () => {}),
  })
  // After the row is gone.
  runner.events.on("job:complete", ({ job }) => counter.took(job.payload.task))
  return async () => {
    const underWay = new Set<Promise<void>>()
    for (let first = 0; first < tasks; first += BULK) {
      const length = Math.min(BULK, tasks - first)
      const payloads = Array.from({ length }, (_, i) => Counter.payload(first + i))
      const added = pool.query(add, [payloads]).then(() => void underWay.delete(added))
      underWay.add(added)
      if (underWay.size >= AT_ONCE) await Promise.race(underWay)
    }
    await Promise.all(underWay)
    await counter.all
  }
}
