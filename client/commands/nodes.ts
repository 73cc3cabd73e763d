// cah nodes: the machines that give slots, and what they do.
import { create } from "@bufbuild/protobuf"
import { timestampMs } from "@bufbuild/protobuf/wkt"
import type { Command } from "commander"
import { type Node, NodeSchema, NodeState } from "../../proto/gen/cah/v1/job_pb.ts"
import { ListNodesResponseSchema } from "../../proto/gen/cah/v1/scientist_pb.ts"
import type { Context } from "../context.ts"
import { statePaint, table } from "../output.ts"
import { plural, showBytes, showDuration } from "../quantities.ts"
import { examples, type Verb } from "../verb.ts"
import { nodeStateWords } from "../words.ts"

export const nodes: Verb = {
  define(command: Command): void {
    command
      .summary("list the machines that give computer time")
      .description("List the machines that give computer time.")
      .option("--online", "only those that are connected now")
      .addHelpText("after", examples("cah nodes", "cah nodes --online -o json | jq '[.nodes[].slots] | add'"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const { online } = command.opts<{ online?: boolean }>()
    const hub = await context.hub()
    const found: Node[] = []
    for await (const node of hub.nodes()) if (online !== true || node.state === NodeState.ONLINE) found.push(node)
    const { colors } = context.output
    const now = Date.now()
    const word = (node: Node) => nodeStateWords[node.state] ?? "?"
    await context.output.many(
      { schema: ListNodesResponseSchema, message: create(ListNodesResponseSchema, { nodes: found }) },
      { schema: NodeSchema, messages: found },
      {
        table: () =>
          found.length === 0
            ? ""
            : table(
                found,
                [
                  { title: "NAME", value: node => (node.name === "" ? node.id : node.name) },
                  { title: "STATE", value: word, paint: node => statePaint(word(node), colors) },
                  { title: "BUSY", value: node => `${node.slotsBusy}/${node.slots}`, right: true },
                  { title: "MEMORY", value: node => showBytes(node.memoryBytes), right: true },
                  { title: "DISK", value: node => showBytes(node.diskBytes), right: true },
                  { title: "AGENT", value: node => node.agentVersion },
                  { title: "SEEN", value: node => seen(node, now), right: true },
                  { title: "ID", value: node => node.id },
                ],
                colors,
              ),
        quiet: node => node.id,
      },
    )
    const up = found.filter(node => node.state === NodeState.ONLINE)
    const slots = up.reduce((sum, node) => sum + node.slots, 0)
    context.output.note(
      found.length === 0 ? "There is none." : `${plural(up.length, "node")} online with ${plural(slots, "slot")}.`,
    )
    return 0
  },
}

function seen(node: Node, nowMs: number): string {
  if (node.lastSeenAt === undefined) return ""
  return `${showDuration(Math.max(0, Math.round((nowMs - timestampMs(node.lastSeenAt)) / 1000)))} ago`
}
