// A node in quarantine gets one job at a time, after a wait that doubles with each that goes wrong, and leaves once some in a
// row have gone well or the operator says so. What fails there is not held against the job: it is tried elsewhere, as after a loss.
import { backoffMs } from "../../common/backoff.ts"
import { PROBE_MAX_MS, PROBE_MIN_MS, PROBES_CLEAN } from "../limits.ts"
import { updateRoom } from "./change.ts"
import type { Node, NodeId, Quarantine } from "./model.ts"
import type { Stage } from "./stage.ts"

/** What it holds goes on. */
export function quarantine(stage: Stage, node: Node, why: string): void {
  node.quarantine = { sinceAt: stage.now.wallMs, why, clean: 0, failed: 0, probeMs: 0 }
  node.quarantines++
  awaitProbe(stage, node, node.quarantine)
  say(stage, node, true, why)
}

/** Also after a start of the hub. */
export function awaitProbe({ state, now }: Pick<Stage, "state" | "now">, node: Node, one: Quarantine): void {
  const waitMs = backoffMs(one.failed + Math.max(1, node.quarantines), PROBE_MIN_MS, PROBE_MAX_MS)
  one.probeMs = now.nowMs + waitMs
  state.deadlines.add(one.probeMs, { kind: "probe", node: node.id })
  updateRoom(state, node)
}

export function onProbeDue({ state, now }: Stage, id: NodeId): void {
  const node = state.nodes.get(id)
  if (node === undefined || node.quarantine === null || node.quarantine.probeMs > now.nowMs) return
  node.quarantine.probeMs = 0
  state.freed.add(id)
  updateRoom(state, node)
}

/** How a job went on a node in quarantine. What it had from before says nothing new. */
export function onProbed(stage: Stage, node: Node, one: Quarantine, isWell: boolean): void {
  if (one.probeMs > 0) return
  one.clean = isWell ? one.clean + 1 : 0
  stage.effects.nodes.add(node)
  if (one.clean >= PROBES_CLEAN) release(stage, node, `${PROBES_CLEAN} jobs in a row went well`)
  else if (!isWell) {
    one.failed++
    awaitProbe(stage, node, one)
  }
}

export function release(stage: Stage, node: Node, why: string): void {
  node.quarantine = null
  stage.state.freed.add(node.id)
  updateRoom(stage.state, node)
  say(stage, node, false, why)
}

function say({ effects }: Stage, node: Node, quarantined: boolean, why: string): void {
  effects.nodes.add(node)
  effects.speech.push({ kind: "NodeJudged", node: node.id, quarantined, why })
}
