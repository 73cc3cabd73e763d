// Containers: jobs that hold room on a node for the jobs of other campaigns to run in. Room inside is counted apart from the
// node's own; when a container's attempt leaves its node, what does not fit any more leaves with it.
import { displace } from "../attempts.ts"
import { liveJob, stopOn, tryOf } from "../change.ts"
import type { CampaignId, Held, Node, State } from "../model.ts"
import type { Stage } from "../stage.ts"
import { type Free, fits, give, take } from "./room.ts"

/** What the running attempts of a container have left on a node. */
export function roomInside(state: State, node: Node, container: CampaignId): Free {
  const free = { slots: 0, memoryBytes: 0, diskBytes: 0 }
  for (const held of node.held.values()) {
    if (held.campaign === container && isRunning(state, node, held)) give(free, held.needs)
    else if (held.inside === container) take(free, held.needs)
  }
  return free
}

function isRunning(state: State, node: Node, { campaign, index, attempt, stopping }: Held): boolean {
  if (stopping !== null) return false
  const job = liveJob(state, campaign, index)?.job
  return job !== undefined && tryOf(job, attempt, node.id)?.phase === "running"
}

/** Nodes that have, or had, attempts of containers and lost one: what is inside and does not fit any more is queued again. */
export function emptyContainers(stage: Stage): void {
  const { state } = stage
  for (const id of state.shrunk) {
    const node = state.nodes.get(id)!
    const inner = [...node.held.values()].filter(({ inside, stopping }) => inside !== null && stopping === null)
    // The last to come is the first to go.
    for (const held of inner.reverse()) {
      if (fits({ slots: 0, memoryBytes: 0, diskBytes: 0 }, roomInside(state, node, held.inside!))) continue
      const found = liveJob(state, held.campaign, held.index)
      const one = found === null ? null : tryOf(found.job, held.attempt, id)
      const event = `stopped: its place in container ${held.inside} is gone`
      if (found === null || one === null) continue
      stopOn(stage, held.campaign, held.index, one, event)
      displace(stage, found.campaign, found.job, one, "container_gone", event)
    }
  }
  state.shrunk.clear()
}
