// oarnodes: the nodes in OAR's words. A node here is one resource; its slots are what OAR calls cores.
import type { Command } from "commander"
import { type Node, NodeState } from "../../proto/gen/cah/v1/job_pb.ts"
import type { Context } from "../context.ts"
import { clean } from "../output.ts"
import { examples, type Verb } from "../verb.ts"

const states: Readonly<Record<number, string>> = {
  [NodeState.ONLINE]: "Alive",
  // It may come back at any moment, and then goes on with what it has.
  [NodeState.AWAY]: "Suspected",
  [NodeState.DRAINED]: "Absent",
  [NodeState.QUARANTINED]: "Suspected",
  [NodeState.REVOKED]: "Dead",
}

export const oarnodes: Verb = {
  define(command: Command): void {
    command
      .description("Show the nodes and their properties, in OAR's words.")
      .argument("[name...]", "only these")
      .option("-s, --state", "only their states")
      .option("-l, --list", "only their names")
      .option("-J, --json", "as JSON, by their names")
      .addHelpText("after", examples("oarnodes", "oarnodes -s", "oarnodes home-1"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const options = command.opts<{ state?: boolean; list?: boolean; json?: boolean }>()
    const hub = await context.hub()
    const nodes: Node[] = []
    for await (const node of hub.nodes()) {
      if (command.args.length === 0 || command.args.includes(node.name) || command.args.includes(node.id))
        nodes.push(node)
    }
    const { output } = context
    if (options.json === true || output.isJson) {
      const all = Object.fromEntries(nodes.map(node => [nameOf(node), propertiesOf(node)]))
      await output.write(`${JSON.stringify(all, null, 3)}\n`)
      return 0
    }
    const texts = nodes.map(node => {
      const name = clean(nameOf(node))
      if (options.list === true) return name
      if (options.state === true) return `${name}\n    ${node.id} : ${states[node.state] ?? "?"}`
      const properties = Object.entries(propertiesOf(node)).map(
        ([key, value]) => `    ${clean(key)} : ${clean(String(value))}`,
      )
      return [name, ...properties, ""].join("\n")
    })
    await output.lines(texts.join("\n"))
    return 0
  },
}

function nameOf(node: Node): string {
  return node.name === "" ? node.id : node.name
}

function propertiesOf(node: Node): Record<string, string | number> {
  return {
    resource_id: node.id,
    network_address: nameOf(node),
    state: states[node.state] ?? "?",
    desktop_computing: "YES",
    core: node.slots,
    core_busy: node.slotsBusy,
    mem_bytes: String(node.memoryBytes),
    disk_bytes: String(node.diskBytes),
    ...node.properties,
  }
}
