// The nodes that work for everybody, in the order of their ids.
import type { ServiceImpl } from "@connectrpc/connect"
import type { ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import { firstAfter } from "../../cases/page.ts"
import { pageOf, type ScientistParts } from "./parts.ts"
import { wireNode } from "./words.ts"

type Service = ServiceImpl<typeof ScientistService>

export function nodeMethods({ engine, store, clock }: ScientistParts): Pick<Service, "listNodes"> {
  return {
    listNodes({ limit, after }) {
      const now = clock.wallMs()
      const page = firstAfter(engine.nodes(), after, pageOf(limit))
      // Of a connected node the hub hears now; when an absent one was heard last stands in its row.
      return { nodes: page.map(node => wireNode(node, node.link === null ? store.lastSeenAt(node.id) : now)) }
    },
  }
}
