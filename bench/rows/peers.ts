// peers: the campaign of noop on what a user would pick instead: as many tasks as it has jobs (fewer where a peer takes minutes for them), each
// different, submitted, taken by workers that do nothing, and acknowledged one by one. Each is as durable as it can be, and what its
// acknowledgement means then stands beside its figure; less than ours does in all of them, since none of them tells a
// scientist which task is where, nor keeps its result.
// Fair, because server and clients have the same two cores as our hub and agents, in turns with it; because a peer's clients are its own
// libraries, used as its documentation says; and because each may choose between 100 workers of 4 tasks and one of 400.
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type CampaignFigures, runCampaign } from "../campaign.ts"
import { type Figure, median, type Row, ratios } from "../figures.ts"
import { cores, cpuMsOfAll, familyOf } from "../machine.ts"
import { missing, versionsOf } from "../peers/install.ts"
import { endServer } from "../peers/launch.ts"
import type { ClientName, ClientOrder, Peer, PeerRan, Shape } from "../peers/peer.ts"
import { beanstalkd, bullmq, nats, rabbitmq, rabbitmqQuorum } from "../peers/servers/brokers.ts"
import { graphile } from "../peers/servers/postgresql.ts"
import { slurm } from "../peers/servers/slurm.ts"
import { runProgram } from "../program.ts"
import type { Settings } from "../settings.ts"
import { startHub } from "../subject.ts"
import { noopPlan, quickPlan } from "./noop.ts"

const all: Readonly<Record<ClientName, Peer>> = { rabbitmq, rabbitmqQuorum, bullmq, nats, beanstalkd, graphile, slurm }
const client = new URL("../peers/client.ts", import.meta.url)
/** Of its tasks, in each shape, before the faster shape gets all. */
const TRIAL_SHARE = 0.1
const QUICK_TASKS = 200

interface PeerFigures {
  readonly tasksPerSecond: number
  readonly cpuUsPerTask: number
  readonly loadShare: number
  readonly shape: Shape
}

export async function peers(settings: Settings): Promise<Row> {
  const skipped: string[] = []
  const here: [ClientName, Peer][] = []
  for (const [name, peer] of Object.entries(all) as [ClientName, Peer][]) {
    // The quick benchmark is a test, and tests install nothing.
    const why = missing(peer, !settings.quick)
    if (why === null) here.push([name, peer])
    else skipped.push(`${peer.name}: ${why}`)
  }
  const plan = settings.quick ? quickPlan : noopPlan
  const runs = Math.min(settings.runs, 3)
  const ours: CampaignFigures[] = []
  const theirs = new Map<Peer, PeerFigures[]>(here.map(([, peer]) => [peer, []]))
  for (let run = 0; run < runs; run++) {
    ours.push(await runCampaign(await startHub(), plan))
    for (const [name, peer] of [...here]) {
      try {
        const tasks = settings.quick ? Math.min(QUICK_TASKS, peer.tasks) : peer.tasks
        theirs.get(peer)!.push(await measure(name, peer, tasks))
      } catch (error) {
        // Others were measured all the same: one that does not work here is named with its reason, and has no figures.
        skipped.push(`${peer.name}: ${error instanceof Error ? error.message : String(error)}`)
        here.splice(
          here.findIndex(([, other]) => other === peer),
          1,
        )
      }
    }
  }
  const rate = ours.map(one => one.jobsPerSecond)
  const rateOf = (peer: Peer) => theirs.get(peer)!.map(one => one.tasksPerSecond)
  const durable = here.map(([, peer]) => peer).filter(({ isDurable }) => isDurable)
  const best = durable.sort((a, b) => median(rateOf(b)) - median(rateOf(a)))[0]
  const hub: Figure = { name: "throughput", unit: "jobs/s", subject: "hub", values: rate }
  const against: Pick<Figure, "ratio" | "target"> =
    best === undefined
      ? {}
      : { ratio: { to: best.name, values: ratios(rate, rateOf(best)) }, target: { of: "ratio", min: 3 } }
  return {
    name: "peers",
    work: `${plan.jobs.toLocaleString("en-GB")} no-op jobs on ours; on each peer that many tasks, or as many as it says`,
    figures: [
      { ...hub, ...against },
      { name: "processor", unit: "µs/job", subject: "hub", values: ours.map(one => one.cpuUsPerJob) },
      { name: "event loop p99", unit: "ms", subject: "hub", values: ours.map(one => one.loopDelayMs) },
      ...here.flatMap(([, peer]) => figuresOf(peer, theirs.get(peer)!, rate)),
    ],
    caveats: [
      "None of the peers tells a scientist which task is where, nor keeps its result: less is asked of them than of the hub.",
      "Each peer ran in the faster of its shapes (workers × tasks at once), which stands beside its figure.",
    ],
    peers: here.map(([, peer]) => {
      const { name, isDurable, durability } = peer
      return { name, versions: versionsOf(peer), isDurable, durability }
    }),
    skipped,
  }
}

function figuresOf(peer: Peer, runs: readonly PeerFigures[], ours: readonly number[]): Figure[] {
  const of = (name: string, unit: string, value: (run: PeerFigures) => number): Figure => {
    return { name, unit, subject: peer.name, values: runs.map(value) }
  }
  const { workers, slots } = runs.at(-1)!.shape
  const rate = of(`throughput, ${workers} × ${slots}`, "tasks/s", run => run.tasksPerSecond)
  return [
    { ...rate, series: "peer", ratio: { to: "hub", values: ratios(rate.values, ours) } },
    of("processor", "µs/task", run => run.cpuUsPerTask),
    of("load's share of its core", "1", run => run.loadShare),
  ]
}

async function measure(name: ClientName, peer: Peer, tasks: number): Promise<PeerFigures> {
  const place = await mkdtemp(join(tmpdir(), "cah-bench-peer-"))
  const server = await peer.start(place).catch(async (error: unknown) => {
    await rm(place, { recursive: true, force: true })
    throw error
  })
  try {
    const run = (shape: Shape, count: number) => {
      const order: ClientOrder = { client: name, address: server.address, tasks: count, ...shape }
      return runProgram<PeerRan>(client, order, cores.load)
    }
    const usage = () => cpuMsOfAll(server.programs.flatMap(({ pid }) => familyOf(pid)))
    const trials: { readonly shape: Shape; readonly seconds: number }[] = []
    for (const shape of peer.shapes) {
      trials.push({ shape, seconds: (await run(shape, Math.ceil(tasks * TRIAL_SHARE))).seconds })
    }
    const { shape } = trials.sort((a, b) => a.seconds - b.seconds)[0]!
    const cpuBefore = usage()
    const { seconds, loadCpuSeconds } = await run(shape, tasks)
    return {
      tasksPerSecond: tasks / seconds,
      cpuUsPerTask: ((usage() - cpuBefore) * 1_000) / tasks,
      loadShare: loadCpuSeconds / seconds,
      shape,
    }
  } finally {
    await endServer(server.programs)
    await rm(place, { recursive: true, force: true })
  }
}
