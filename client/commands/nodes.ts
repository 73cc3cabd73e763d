// cah nodes: the machines that give slots, what they do, and an operator's hand on them. A node is named by its id, or by its name where only
// one has it.
import { create } from "@bufbuild/protobuf"
import { timestampMs } from "@bufbuild/protobuf/wkt"
import type { Command } from "commander"
import { type Node, NodeSchema, NodeState } from "../../proto/gen/cah/v1/job_pb.ts"
import { ListNodesResponseSchema } from "../../proto/gen/cah/v1/scientist_pb.ts"
import type { Context } from "../context.ts"
import { ClientError, usage } from "../errors.ts"
import type { Hub } from "../library.ts"
import { fields, statePaint, table } from "../output.ts"
import { plural, showBytes, showDuration } from "../quantities.ts"
import { askYesNo } from "../terminal.ts"
import { nodeStateWords } from "../text.ts"
import { examples, type Group, type Verb } from "../verb.ts"

const ls: Verb = {
  define(command: Command): void {
    command
      .description("List the machines that give computer time.")
      .option("--online", "only those that are connected now")
      .addHelpText("after", examples("cah nodes", "cah nodes ls --online -o json | jq '[.nodes[].slots] | add'"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const { online } = command.opts<{ online?: boolean }>()
    const hub = await context.hub()
    const found: Node[] = []
    for await (const node of hub.nodes()) if (online !== true || node.state === NodeState.ONLINE) found.push(node)
    const { colors } = context.output
    const now = Date.now()
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
                  { title: "NAME", value: nameOf },
                  { title: "STATE", value: stateOf, paint: node => statePaint(stateOf(node), colors) },
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

const show: Verb = {
  define(command: Command): void {
    command
      .description("Show a node and the properties that -p may ask for.")
      .argument("<node>", "its name or id")
      .addHelpText("after", examples("cah nodes show attic", "cah nodes show attic -o json | jq .properties"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const [node] = await findNodes(await context.hub(), command.args)
    if (node === undefined) throw new Error("findNodes finds each or throws")
    const { colors } = context.output
    await context.output.one(NodeSchema, node, {
      table: () =>
        `${fields(
          [
            ["Node", node.id],
            ["Name", node.name],
            ["State", stateOf(node)],
            ["Slots", `${node.slotsBusy} of ${node.slots} busy`],
            ["Memory", showBytes(node.memoryBytes)],
            ["Disk", showBytes(node.diskBytes)],
            ["Agent", node.agentVersion],
            ["Seen", seen(node, Date.now())],
            ...quarantineOf(node),
            ...whereaboutsOf(node),
          ],
          colors,
        )}\n\n${fields(Object.entries(node.properties).sort(), colors)}`,
      quiet: () => node.id,
    })
    return 0
  },
}

interface Change {
  readonly does: string
  readonly done: string
  readonly change: (hub: Hub, node: Node) => Promise<void>
  /** Whether it is for good. */
  readonly final?: true
}

function changing(name: string, { does, done, change, final }: Change): Verb {
  return {
    define(command: Command): void {
      command.description(`${does} For operators.`).argument("<node...>", "names or ids")
      if (final) command.option("-y, --yes", "do not ask")
      command.addHelpText("after", examples(`cah nodes ${name} attic${final ? " -y" : ""}`))
    },

    async run(context: Context, command: Command): Promise<number> {
      const { yes = false } = command.opts<{ yes?: boolean }>()
      if (final && !yes && context.stdin.isTTY !== true) {
        throw usage(`nodes ${name}: nobody is there to be asked.`, "It is for good. Say --yes if you mean it.")
      }
      const hub = await context.hub()
      const found = await findNodes(hub, command.args)
      const names = found.map(node => `${nameOf(node)} (${node.id})`).join(", ")
      if (final && !yes && !(await askYesNo(context, `For good, ${name} ${names}?`))) {
        context.output.note("Nothing was changed.")
        return 0
      }
      for (const node of found) await change(hub, node)
      await context.output.value(
        found.map(({ id, name: called }) => ({ node: id, name: called, [done]: true })),
        {
          table: () => found.map(node => `${nameOf(node)} (${node.id}) is ${done}.`).join("\n"),
          quiet: () => found.map(({ id }) => id).join("\n"),
        },
      )
      return 0
    },
  }
}

const drain: Change = {
  does: "Give nodes nothing new. What they have goes on.",
  done: "drained",
  change: (hub, node) => hub.operator.drainNode(node.id, true),
}
const undrain: Change = {
  does: "Give drained nodes work again.",
  done: "undrained",
  change: (hub, node) => hub.operator.drainNode(node.id, false),
}
const release: Change = {
  does: "Take nodes out of quarantine, once you have mended what made their jobs fail.",
  done: "released",
  change: (hub, node) => hub.operator.releaseNode(node.id),
}
const revoke: Change = {
  does: "Send nodes away for good: their key is never accepted again, and what they have runs elsewhere.",
  done: "revoked",
  change: (hub, node) => hub.operator.revokeNode(node.id),
  final: true,
}

const forget: Change = {
  does: "Strike nodes off that are gone. One that comes back wants a new enrolment token, also one that was revoked.",
  done: "forgotten",
  change: (hub, node) => hub.operator.forgetNode(node.id),
  final: true,
}

export const nodes: Group = {
  define(command: Command): void {
    command
      .description("The machines that give computer time.")
      .addHelpText("after", examples("cah nodes", "cah nodes show attic", "cah nodes drain attic"))
  },
  verbs: {
    ls: { summary: "list them", verb: ls },
    show: { summary: "show one with its properties", verb: show },
    drain: { summary: "give some nothing new", verb: changing("drain", drain) },
    undrain: { summary: "give them work again", verb: changing("undrain", undrain) },
    release: { summary: "take some out of quarantine", verb: changing("release", release) },
    revoke: { summary: "send some away for good", verb: changing("revoke", revoke) },
    forget: { summary: "strike some off that are gone", verb: changing("forget", forget) },
  },
  usual: "ls",
}

/** Each by its id, or by its name if no other has it. */
async function findNodes(hub: Hub, texts: readonly string[]): Promise<Node[]> {
  const all: Node[] = []
  for await (const node of hub.nodes()) all.push(node)
  return texts.map(text => {
    const named = all.filter(({ id, name }) => id === text || name === text)
    const [node, other] = named
    if (node === undefined) {
      throw new ClientError("not_found", `There is no node "${text}".`, { hint: "See them: cah nodes" })
    }
    if (other !== undefined) {
      const ids = named.map(({ id }) => id).join(", ")
      throw usage(`${named.length} nodes are called "${text}".`, `Name it by its id: ${ids}`)
    }
    return node
  })
}

/** Since when and why, and what would end it. */
function quarantineOf({ quarantine }: Node): [string, string][] {
  if (quarantine === undefined) return []
  const { since, why, failed, clean } = quarantine
  const ago =
    since === undefined ? "" : ` for ${showDuration(Math.max(0, Math.round((Date.now() - timestampMs(since)) / 1000)))}`
  return [
    ["Quarantine", `${why}${ago === "" ? "" : `;${ago}`}`],
    ["Tried since", `${plural(failed, "job")} failed, ${clean} in a row went well`],
  ]
}

/** Operators are told, and others not. */
function whereaboutsOf({ account, host, network }: Node): [string, string][] {
  const known: [string, string][] = [
    ["Account", account],
    ["Computer", host === 0n ? "" : `${host} of that volunteer`],
    ["Network", network],
  ]
  return known.filter(([, value]) => value !== "")
}

function nameOf(node: Node): string {
  return node.name === "" ? node.id : node.name
}

function stateOf(node: Node): string {
  return nodeStateWords[node.state] ?? "?"
}

function seen(node: Node, nowMs: number): string {
  if (node.lastSeenAt === undefined) return ""
  return `${showDuration(Math.max(0, Math.round((nowMs - timestampMs(node.lastSeenAt)) / 1000)))} ago`
}
