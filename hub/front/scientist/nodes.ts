// The nodes that work for everybody, in the order of their ids.
import type { ServiceImpl } from "@connectrpc/connect"
import type { ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import { pageOf, type ScientistParts } from "./parts.ts"
import { wireNode } from "./words.ts"

type Service = ServiceImpl<typeof ScientistService>

export function nodeMethods({ engine, store, clock }: ScientistParts): Pick<Service, "listNodes"> {
  return {
    listNodes({ limit, after }) {
      const page = [...engine.nodes()]
        .filter(node => node.id > after)
        .sort((a, b) => (a.id < b.id ? -1 : 1))
        .slice(0, pageOf(limit))
      // Of a connected node the hub hears now; when an absent one was heard last stands in its row.
      const seen = page.some(node => node.link === null)
        ? new Map(store.nodes().map(row => [row.id, row.lastSeenAt]))
        : new Map()
      const now = clock.wallMs()
      return { nodes: page.map(node => wireNode(node, node.link === null ? (seen.get(node.id) ?? null) : now)) }
    },
  }
}
