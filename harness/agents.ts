// One agent for an end-to-end piece: enrolled, started and waited for. Everything else it is told by flags.
import { join } from "node:path"
import type { Hub } from "./hub.ts"
import { type Program, ready, start } from "./processes.ts"
import { wallFlags } from "./walls.ts"

export interface AgentOptions {
  readonly name: string
  /** Its state and log go below this directory. */
  readonly place: string
  readonly flags: readonly string[]
  readonly within?: readonly string[]
  /** The hub's address as the agent sees it, where that is not ours. */
  readonly hubUrl?: string
}

/** Resolves once the hub says that it is online. */
export async function startAgent(hub: Hub, options: AgentOptions): Promise<Program> {
  const { name, place, flags, within = [], hubUrl = hub.url } = options
  const { secret } = await hub.ask<{ secret: string }>("OperatorService/CreateEnrolment", { account: "e2e" })
  const known = ["--hub", hubUrl, "--enroll", secret, "--state", join(place, name), "--name", name]
  const walls = flags.includes("--sandbox") ? [] : await wallFlags(place, line => process.stderr.write(`${line}\n`))
  const args = ["agent/bin/cah-agent.mjs", ...known, ...walls, ...flags]
  const agent = start(name, args, {}, join(place, `${name}.log`), within)
  await ready(agent, async () => ((await nodeState(hub, name)) === "NODE_STATE_ONLINE" ? true : null))
  return agent
}

export async function nodeState(hub: Hub, name: string): Promise<string | null> {
  const { nodes } = await hub.ask<{ nodes?: { name: string; state: string }[] }>("ScientistService/ListNodes", {})
  return nodes?.find(node => node.name === name)?.state ?? null
}
