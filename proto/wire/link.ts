// The order in which frames may come, as a table that hub and agent share. A frame that the table does not name for the
// present phase is a breach by whoever sent it. Pure: it holds no socket and no timer.
//
//     connecting --challenge--> challenged --hello--> greeted --welcome--> open --goodbye--> draining --> closed
//                                   +--------goodbye------+------------------------------------^
//
// Streams, within `open`. Only agents open them. Whoever receives a stream's bytes says StreamOpened, and by it from
// where and how far the sender may send:
//
//     stagein    agent: StreamOpen, StreamOpened   hub: Chunk…, StreamEnd             agent meanwhile: Credit…
//     stageout   agent: StreamOpen                 hub: StreamOpened, Credit…         agent: Chunk…, StreamEnd
//                hub, when it is on disk: StreamStored
//     log        hub: FollowLog on                 agent: StreamOpen (stdout), StreamOpen (stderr), then as a stageout,
//                without StreamStored
//
// StreamEnd with an error, from either side at any time, gives the stream up. What the other side had sent before it heard
// of that is ignored. Stream ids rise on a link: an id at or below the highest seen that is not open belongs to the past.
import { type AgentBody, FrameError, type HubBody } from "./frame.ts"

export type LinkPhase = "connecting" | "challenged" | "greeted" | "open" | "draining" | "closed"

type HubKind = HubBody["case"]
type AgentKind = AgentBody["case"]

const fromHub: Record<HubKind, Partial<Record<LinkPhase, LinkPhase>>> = {
  challenge: { connecting: "challenged" },
  welcome: { greeted: "open" },
  // A refusal, before the welcome; the hub going down, after it.
  goodbye: { challenged: "draining", greeted: "draining", open: "draining", draining: "draining" },
  offer: { open: "open" },
  kill: { open: "open", draining: "draining" },
  reportAnswer: { open: "open", draining: "draining" },
  heartbeatAnswer: { open: "open", draining: "draining" },
  followLog: { open: "open", draining: "draining" },
  streamOpened: { open: "open", draining: "draining" },
  chunk: { open: "open", draining: "draining" },
  credit: { open: "open", draining: "draining" },
  streamEnd: { open: "open", draining: "draining" },
  streamStored: { open: "open", draining: "draining" },
  gatherPage: { open: "open", draining: "draining" },
}

// While draining the agent may not have heard the goodbye yet: all that `open` allows.
const fromAgent: Record<AgentKind, Partial<Record<LinkPhase, LinkPhase>>> = {
  hello: { challenged: "greeted" },
  heartbeat: { open: "open", draining: "draining" },
  report: { open: "open", draining: "draining" },
  streamOpen: { open: "open", draining: "draining" },
  streamOpened: { open: "open", draining: "draining" },
  chunk: { open: "open", draining: "draining" },
  credit: { open: "open", draining: "draining" },
  streamEnd: { open: "open", draining: "draining" },
  listGather: { open: "open", draining: "draining" },
}

/** The phase after this frame of the hub. FrameError if it may not come now. */
export function afterHubFrame(phase: LinkPhase, kind: HubKind): LinkPhase {
  const next = fromHub[kind][phase]
  if (next === undefined) throw new FrameError(`${kind} from the hub while the link is ${phase}`)
  return next
}

/** The phase after this frame of the agent. FrameError if it may not come now. */
export function afterAgentFrame(phase: LinkPhase, kind: AgentKind): LinkPhase {
  const next = fromAgent[kind][phase]
  if (next === undefined) throw new FrameError(`${kind} from the agent while the link is ${phase}`)
  return next
}

/** Which version to speak, or who must be upgraded. Given both sides' ranges. */
export function agreeOnVersion(
  hub: { readonly min: number; readonly max: number },
  agent: { readonly min: number; readonly max: number },
): { readonly version: number } | { readonly upgrade: "hub" | "agent" } {
  if (agent.max < hub.min) return { upgrade: "agent" }
  if (agent.min > hub.max) return { upgrade: "hub" }
  return { version: Math.min(hub.max, agent.max) }
}
