// A hint for a condition that no node meets: names in it that no node reports, each with the one that was perhaps meant. The hub cannot refuse
// such a name by itself, since volunteers report what they like.
import type { Requirement } from "../../proto/wire/property.ts"
import { isNear, parseRequirement } from "../../proto/wire/where.ts"
import type { Hub } from "../library.ts"
import { PROPERTY_NODES_MAX } from "../limits.ts"

/** What the hub knows of every node besides what the node reports. */
const always = ["node", "name", "host", "network_address", "slots", "core", "mem", "disk"]

/** Words of other systems. */
const meant: Readonly<Record<string, string>> = {
  memory: "mem",
  ram: "mem",
  memnode: "mem",
  cpu: "cores",
  cpus: "cores",
  ncpus: "cores",
  hostname: "host",
  opsys: "os",
  cputype: "cpu_model",
}

/** Empty: every name is reported by some node. */
export async function unreportedHint(hub: Hub, condition: string): Promise<string> {
  const reported = new Set(always)
  let looked = 0
  for await (const { properties } of hub.nodes()) {
    for (const name of Object.keys(properties)) reported.add(name.toLowerCase())
    if (++looked === PROPERTY_NODES_MAX) break
  }
  const unknown = [...new Set(namesOf(parseRequirement(condition)))].filter(name => !reported.has(name))
  if (unknown.length === 0) return ""
  const sentences = unknown.map(name => {
    const other = meant[name] ?? [...reported].find(word => isNear(name, word))
    return `No node reports ${JSON.stringify(name)}${other === undefined ? "" : `: did you mean ${other}?`}`
  })
  return `${sentences.join("\n")}\nWhat one reports: cah nodes show NODE`
}

function namesOf(property: Requirement): readonly string[] {
  switch (property.kind) {
    case "and":
    case "or":
      return property.of.flatMap(namesOf)
    case "not":
      return namesOf(property.of)
    default:
      return [property.name]
  }
}
