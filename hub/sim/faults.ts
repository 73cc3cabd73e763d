// What goes wrong in a simulated world, and how often. Every fault is switched by its name: --faults hub,network,…
// "all" is every one of them, "none" is a quiet day.

export const faultNames = [
  "hub",
  "network",
  "halfopen",
  "churn",
  "crash",
  "disk",
  "clock",
  "client",
  "rules",
  "kinds",
  "slow",
  "sick",
  "bounds",
  "retry",
  "forget",
  "restart",
] as const
export type FaultName = (typeof faultNames)[number]

export interface Faults {
  /** Mean time between crashes of the hub, ms; it is down for up to hubDownMs. */
  readonly hubCrashMs: number
  readonly hubDownMs: number
  /** Per frame. WebSockets lose nothing while they live; we demand more of ourselves. */
  readonly loss: number
  readonly duplicate: number
  readonly reorder: number
  /** One way delay, ms. */
  readonly delayMs: readonly [low: number, high: number]
  /** Mean time between half-open links, per node. Either side notices after detectMs. */
  readonly halfOpenMs: number
  readonly detectMs: number
  /** Volunteers: mean time a node stays, and stays away. */
  readonly onMs: number
  readonly offMs: number
  /** Mean time between kill -9 of an agent. */
  readonly agentCrashMs: number
  /** Of those, how many lose their disk too. */
  readonly wipe: number
  /** Mean time between suspends of a whole machine, during which its clock stands still. */
  readonly suspendMs: number
  /** Mean time between jumps of the hub's wall clock. */
  readonly clockJumpMs: number
  /** Probability that a job is cancelled, a campaign is cancelled, a node is revoked. */
  readonly cancelJob: number
  readonly cancelCampaign: number
  readonly revoke: number
  /** Of jobs: those that fail, and those that would run for ever. */
  readonly failing: number
  readonly endless: number
  /** Probability that a campaign has retries, waits for the one before, comes in two shapes, is held for a while. */
  readonly rules: number
  /** Probability that a campaign is best effort, reserved, large, of a project, or a container with another inside; that jobs are held. */
  readonly kinds: number
  /** Probability that a campaign that has ended is forgotten by its owner; how long the others are kept, ms. */
  readonly forget: number
  readonly keepMs: number
  /** Probability that the hub is killed right after a kind of write reached the disk, each of the first times that it did. */
  readonly restart: number
  /** Share of nodes that take five times as long, for ever. */
  readonly slow: number
  /** Share of nodes where every command fails at once, for ever. */
  readonly sick: number
  /** Probability that a campaign stops after some failures, and that it has few jobs at once. */
  readonly bounds: number
  /** Probability that a campaign's owner tries again, now and then, what failed of it. */
  readonly retry: number
}

const never = Number.POSITIVE_INFINITY
const hour = 3_600_000

const quiet: Faults = {
  hubCrashMs: never,
  hubDownMs: 0,
  loss: 0,
  duplicate: 0,
  reorder: 0,
  delayMs: [5, 50],
  halfOpenMs: never,
  detectMs: 45_000,
  onMs: never,
  offMs: 0,
  agentCrashMs: never,
  wipe: 0,
  suspendMs: never,
  clockJumpMs: never,
  cancelJob: 0,
  cancelCampaign: 0,
  revoke: 0,
  failing: 0,
  endless: 0,
  rules: 0,
  kinds: 0,
  slow: 0,
  sick: 0,
  bounds: 0,
  retry: 0,
  forget: 0,
  keepMs: never,
  restart: 0,
}

const parts: Record<FaultName, Partial<Faults>> = {
  hub: { hubCrashMs: 1.5 * hour, hubDownMs: 4 * 60_000 },
  network: { loss: 0.01, duplicate: 0.01, reorder: 0.02, delayMs: [5, 2_000] },
  halfopen: { halfOpenMs: 3 * hour },
  churn: { onMs: 4 * hour, offMs: hour },
  crash: { agentCrashMs: 5 * hour },
  disk: { wipe: 0.2 },
  clock: { suspendMs: 4 * hour, clockJumpMs: hour },
  client: { cancelJob: 0.01, cancelCampaign: 0.1, revoke: 0.05, failing: 0.02, endless: 0.005 },
  rules: { rules: 0.4 },
  kinds: { kinds: 0.5 },
  slow: { slow: 0.05 },
  sick: { sick: 0.1 },
  bounds: { bounds: 0.15 },
  retry: { retry: 0.6, failing: 0.08 },
  forget: { forget: 0.7, keepMs: 2 * hour },
  restart: { restart: 0.5 },
}

/** Faults by name, separated by commas. Throws on a name that is none, naming those there are. */
export function faultsOf(names: string): Faults {
  if (names === "none") return quiet
  const wanted = names === "all" ? faultNames : names.split(",")
  return wanted.reduce((faults, name) => {
    const part = parts[name as FaultName]
    if (part === undefined)
      throw new Error(`there is no fault "${name}": choose from none, all, ${faultNames.join(", ")}`)
    return { ...faults, ...part }
  }, quiet)
}
