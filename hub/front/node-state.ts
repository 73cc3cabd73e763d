// In one word, where a node stands: the same on every front.
import type { Node } from "../core/model.ts"

export type NodeStateName = "online" | "away" | "drained" | "quarantined" | "revoked"

export function nodeState(node: Readonly<Node>): NodeStateName {
  if (node.revoked) return "revoked"
  if (node.link === null) return "away"
  if (node.drained) return "drained"
  return node.quarantine === null ? "online" : "quarantined"
}

export function busySlots(node: Readonly<Node>): number {
  let slots = 0
  for (const held of node.held.values()) slots += held.needs.slots
  return slots
}
