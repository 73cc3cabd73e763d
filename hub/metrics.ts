// The hub's instruments, by name. One value of them is made in main.ts and passed to engine, link and fronts, so that
// two hubs in one process (tests) never share a counter. Names and labels are those of the operator's documentation:
// renaming one breaks somebody's dashboard. No job, node or campaign ids as labels: a label value lives forever.
import { monitorEventLoopDelay } from "node:perf_hooks"
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client"
import { QuickHistogram } from "./histogram.ts"
import { EVENT_LOOP_RESOLUTION_MS, EVENT_LOOP_WINDOW_MS } from "./limits.ts"

const fastSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]
const slowSeconds = [0.1, 1, 10, 60, 300, 1_800, 7_200, 43_200, 259_200]

export type Metrics = ReturnType<typeof createMetrics>

/** Values that somebody else holds, read when Prometheus asks. Set once by main.ts; unset parts are reported as 0. */
export interface Sampled {
  jobs(): Iterable<readonly [state: string, count: number]>
  agents(): Iterable<readonly [state: string, count: number]>
  database(): { handles: number; walBytes: number; queued: number }
  links(): { links: number; streams: number; bufferedBytes: number }
  certificate(): { notAfterMs: number } | null
}

export function createMetrics(version: string) {
  const registry = new Registry()
  const registers = [registry]
  let sampled: Sampled | null = null

  collectDefaultMetrics({ register: registry, prefix: "cah_" })
  // Gauges named like counters: promtool refuses them, and cah_connections and cah_links say more.
  for (const kind of ["handles", "requests", "resources"]) {
    registry.removeSingleMetric(`cah_nodejs_active_${kind}_total`)
    registry.removeSingleMetric(`cah_nodejs_active_${kind}`)
  }

  const buildInfo = new Gauge({
    name: "cah_build_info",
    help: "1, with the version of the hub and of Node as labels.",
    labelNames: ["version", "node"],
    registers,
  })
  buildInfo.set({ version, node: process.versions.node }, 1)

  // ---- sampled when asked ----
  new Gauge({
    name: "cah_jobs",
    help: "Jobs of live campaigns, by phase, ended ones by outcome.",
    labelNames: ["state"],
    registers,
    collect() {
      this.reset()
      for (const [state, count] of sampled?.jobs() ?? []) this.set({ state }, count)
    },
  })
  new Gauge({
    name: "cah_agents",
    help: "Nodes known, by state: online, away, drained, quarantined, revoked.",
    labelNames: ["state"],
    registers,
    collect() {
      this.reset()
      for (const [state, count] of sampled?.agents() ?? []) this.set({ state }, count)
    },
  })
  const databaseHandles = new Gauge({
    name: "cah_db_handles",
    help: "Open database connections. A constant, whatever the number of agents.",
    registers,
    collect() {
      const database = sampled?.database() ?? { handles: 0, walBytes: 0, queued: 0 }
      databaseHandles.set(database.handles)
      databaseWal.set(database.walBytes)
      databaseQueue.set(database.queued)
    },
  })
  const databaseWal = new Gauge({ name: "cah_db_wal_bytes", help: "Size of the write-ahead log.", registers })
  const databaseQueue = new Gauge({
    name: "cah_db_writer_queue",
    help: "Batches given to the writer and not yet on disk.",
    registers,
  })
  new Gauge({
    name: "cah_tls_certificate_not_after_seconds",
    help: "When the TLS certificate that is served ends, as Unix time. Absent without TLS.",
    registers,
    collect() {
      this.reset()
      const certificate = sampled?.certificate() ?? null
      if (certificate !== null) this.set(certificate.notAfterMs / 1e3)
    },
  })
  const links = new Gauge({
    name: "cah_links",
    help: "WebSockets of agents that are open now.",
    registers,
    collect() {
      const now = sampled?.links() ?? { links: 0, streams: 0, bufferedBytes: 0 }
      links.set(now.links)
      linkBuffer.set(now.bufferedBytes)
    },
  })
  const linkBuffer = new Gauge({
    name: "cah_ws_send_buffer_bytes",
    help: "Bytes waiting to be sent, over all links.",
    registers,
  })

  // ---- event loop ----
  const loopDelay = monitorEventLoopDelay({ resolution: EVENT_LOOP_RESOLUTION_MS })
  loopDelay.enable()
  // And once more for decisions of the moment: how late most timers were within the last second.
  const recentDelay = monitorEventLoopDelay({ resolution: EVENT_LOOP_RESOLUTION_MS })
  recentDelay.enable()
  let recentLagSeconds = 0
  const sampling = setInterval(() => {
    recentLagSeconds = lagOf(recentDelay.percentile(90))
    recentDelay.reset()
  }, EVENT_LOOP_WINDOW_MS)
  sampling.unref()
  const eventLoopLag = new Gauge({
    name: "cah_event_loop_lag_seconds",
    help: "How late timers of the main thread were since the last scrape.",
    labelNames: ["percentile"],
    registers,
    collect() {
      eventLoopLag.set({ percentile: "50" }, lagOf(loopDelay.percentile(50)))
      eventLoopLag.set({ percentile: "99" }, lagOf(loopDelay.percentile(99)))
      eventLoopLag.set({ percentile: "100" }, lagOf(loopDelay.max))
      loopDelay.reset()
    },
  })

  return {
    registry,
    sample(by: Sampled): void {
      sampled = by
    },
    /** Stops the sampling of the event loop, which would keep a histogram alive. */
    close(): void {
      loopDelay.disable()
      recentDelay.disable()
      clearInterval(sampling)
      registry.clear()
    },

    // ---- engine ----
    /** from and to are phases, or outcomes for a job that ended. */
    jobTransitions: new Counter({
      name: "cah_job_transitions_total",
      help: "Changes of jobs' states.",
      labelNames: ["from", "to"],
      registers,
    }),
    /** cause: failure, loss, preemption, owner, or hold when one is lifted. */
    jobRetries: new Counter({
      name: "cah_job_retries_total",
      help: "Jobs that came back to the queue, by what brought them there.",
      labelNames: ["cause"],
      registers,
    }),
    /** why: lease_expired, node_restarted, refused, … : those of core/why.ts that are losses. */
    attemptLosses: new Counter({
      name: "cah_attempt_losses_total",
      help: "Attempts that were lost, by why. Not every one brings its job back: another may go on, or the budget is spent.",
      labelNames: ["why"],
      registers,
    }),
    jobQueueWait: new QuickHistogram({
      name: "cah_job_queue_wait_seconds",
      help: "From ready to offered.",
      buckets: slowSeconds,
      registers,
    }),
    jobRun: new QuickHistogram({
      name: "cah_job_run_seconds",
      help: "Wall time of commands, as agents measured it.",
      buckets: slowSeconds,
      registers,
    }),
    dispatchLatency: new QuickHistogram({
      name: "cah_dispatch_latency_seconds",
      help: "From the offer to the agent's answer.",
      buckets: fastSeconds,
      registers,
    }),
    tickSeconds: new QuickHistogram({
      name: "cah_tick_seconds",
      help: "Time that one tick of the engine took to decide.",
      buckets: fastSeconds,
      registers,
    }),
    /** op: commit, checkpoint, reopen. */
    databaseTransaction: new Histogram({
      name: "cah_db_txn_seconds",
      help: "From giving a batch to the writer until it is on disk.",
      labelNames: ["op"],
      buckets: fastSeconds,
      registers,
    }),

    // ---- link ----
    /** result: accepted, denied, refused, superseded, … : a closed list of the link server. */
    agentConnects: new Counter({
      name: "cah_agent_connects_total",
      help: "Attempts of agents to connect, by how they went.",
      labelNames: ["result"],
      registers,
    }),
    /** dir: in (to the hub) or out. kind: stagein, stageout, stdout, stderr. */
    streamBytes: new Counter({
      name: "cah_stream_bytes_total",
      help: "Bytes of streams, of agents and scientists.",
      labelNames: ["dir", "kind"],
      registers,
    }),
    streamsOpen: new Gauge({
      name: "cah_streams_open",
      help: "Transfers under way.",
      labelNames: ["kind"],
      registers,
    }),
    streamStalls: new Counter({
      name: "cah_stream_stalls_total",
      help: "Transfers given up because nothing moved.",
      registers,
    }),

    // ---- fronts ----
    rpcRequests: new Counter({
      name: "cah_rpc_requests_total",
      help: "Calls of scientists and operators, by method, protocol and code.",
      labelNames: ["method", "protocol", "code"],
      registers,
    }),
    rpcSeconds: new Histogram({
      name: "cah_rpc_seconds",
      help: "Time of calls; streams count until their end.",
      labelNames: ["method"],
      buckets: fastSeconds,
      registers,
    }),
    rateLimited: new Counter({
      name: "cah_rate_limited_total",
      help: "Requests refused by a rate limit, by rule.",
      labelNames: ["rule"],
      registers,
    }),
    connections: new Gauge({
      name: "cah_connections",
      help: "TCP connections open on the port.",
      registers,
    }),
    dedupSavedBytes: new Counter({
      name: "cah_blob_dedup_saved_bytes_total",
      help: "Bytes that nobody had to send because the hub or the node had them.",
      labelNames: ["where"],
      registers,
    }),
    blobsDamaged: new Gauge({
      name: "cah_blobs_damaged",
      help: "Stored blobs whose bytes are missing or went bad, as far as they were looked at.",
      registers,
    }),
    /** How late nine of ten timers were at most within the last second: for admission control and people. */
    eventLoopLagSeconds: () => recentLagSeconds,
  }
}

/** The histogram counts the timer's own interval; what is beyond it is lag. NaN before the first sample. */
function lagOf(ns: number): number {
  return Math.max(0, (Number.isNaN(ns) ? 0 : ns / 1e9) - EVENT_LOOP_RESOLUTION_MS / 1e3)
}
