// Many agents in one process: the agent's own core, engine and link over real WebSockets, with a workshop that does nothing and a
// journal in memory. What a hub sees of them is real; for tests and benchmarks of the hub with more agents than a machine can run.
//   node --import tsx bench/swarm.ts --hub URL --enroll TOKEN --agents N [--slots S] [--run-ms MS]
// Prints one JSON line when all are connected: {"connected":N}. Ends at SIGTERM.

import { generateKeyPairSync, sign } from "node:crypto"
import { setTimeout as pause } from "node:timers/promises"
import { parseArgs } from "node:util"
import type { Capacity, Exit } from "../agent/core/model.ts"
import type { Clock, Log } from "../agent/core/ports.ts"
import { Engine, type RunningCommand, type Workshop } from "../agent/engine.ts"
import type { Journal } from "../agent/journal.ts"
import { createLink, type DialledLink } from "../agent/link/dial.ts"
import type { Identity } from "../agent/link/identity.ts"
import { nodeIdOf } from "../proto/wire/hello.ts"
import { noLog } from "../proto/wire/log.ts"

const { values } = parseArgs({
  options: {
    hub: { type: "string" },
    enroll: { type: "string" },
    agents: { type: "string", default: "100" },
    slots: { type: "string", default: "4" },
    /** How long each command takes. */
    "run-ms": { type: "string", default: "0" },
  },
})
const { hub, enroll } = values
if (hub === undefined || enroll === undefined) throw new Error("--hub and --enroll are needed")
const agents = Number(values.agents)
const runMs = Number(values["run-ms"])
const capacity: Capacity = { slots: Number(values.slots), memoryBytes: 8e9, diskBytes: 50e9 }

/** Dials begun at once: a thousand keys' handshakes at the same moment would only wait for each other. */
const DIALS_AT_ONCE = 50

const exit: Exit = { exitCode: 0, message: "", runMs, cpuMs: 0, peakMemoryBytes: 0 }
const clock: Clock = { nowMs: () => performance.now(), wallMs: () => Date.now() }
const log: Log = { debug() {}, info() {}, warn: complain, error: complain }
const journal: Journal = { save: () => Promise.resolve(), forget: () => Promise.resolve() }
const workshop: Workshop = {
  open: () => ({
    stage: () => Promise.resolve(),
    run: runMs === 0 ? () => ({ begun: Promise.resolve(), ended: Promise.resolve(exit), stop() {} }) : run,
    pack: () => Promise.resolve({ stageout: null, stdout: noLog, stderr: noLog, message: "", warnings: "" }),
    give: () => Promise.resolve(),
    follow: () => null,
    clear: () => Promise.resolve(),
  }),
}

function run(): RunningCommand {
  const over = new AbortController()
  const ended = pause(runMs, exit, { signal: over.signal }).catch(() => exit)
  return { begun: Promise.resolve(), ended, stop: () => over.abort() }
}

function complain(fields: object, message: string): void {
  process.stderr.write(`${message} ${JSON.stringify(fields)}\n`)
}

function identity(number: number): Identity {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519")
  const raw = publicKey.export({ type: "spki", format: "der" }).subarray(-32)
  const bootId = `swarm-${process.pid}-${number}`
  return { nodeId: nodeIdOf(raw), publicKey: raw, bootId, sign: bytes => sign(null, bytes, privateKey) }
}

/** Resolves at its first welcome. */
function startAgent(number: number): Promise<DialledLink> {
  return new Promise(resolve => {
    const engine = new Engine({ capacity, workshop, journal, clock, log })
    const link = createLink({
      hubUrl: hub as string,
      via: null,
      insecure: false,
      ca: null,
      identity: identity(number),
      agentVersion: "swarm",
      enrolToken: enroll as string,
      node: () => ({ name: `swarm-${number}`, ...capacity, properties: {} }),
      holdings: () => engine.holdings(),
      onEvent: event => {
        engine.post(event)
        if (event.kind === "Welcomed") resolve(link)
      },
      logSource: engine.logSource,
      onFinal: reason => complain({ number, reason }, "sent away"),
      clock,
      log,
      random: Math.random,
    })
    engine.start(link, [])
    link.start()
  })
}

const links: DialledLink[] = []
for (let first = 0; first < agents; first += DIALS_AT_ONCE) {
  const count = Math.min(DIALS_AT_ONCE, agents - first)
  links.push(...(await Promise.all(Array.from({ length: count }, (_, i) => startAgent(first + i)))))
}
process.stdout.write(`${JSON.stringify({ connected: links.length })}\n`)
process.on("SIGTERM", () => process.exit(0))
