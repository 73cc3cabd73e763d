// What jobs ask of a node's properties. Judging a node by it costs a microsecond or two and is asked for whenever something is
// placed, so what was found stays here, at two bits a node: with many nodes far less than if each node had it.
import { matches, type NodeProperties, type Requirement } from "../../../proto/wire/property.ts"
import { parseRequirement } from "../../../proto/wire/where.ts"

const UNKNOWN = 0
const MET = 1
const NOT_MET = 2

/** The part of a node that is judged: its number and what is known of it. */
interface Judged {
  readonly number: number
  readonly facts: NodeProperties
}

export class Condition {
  /** As its scientist wrote it; "": any node. */
  readonly text: string
  /** The same, read; null: any node. */
  readonly wants: Requirement | null
  /** That have it. */
  demands = 0
  /** Of node n in bits 2(n mod 4) and above of byte n div 4; null: each node is judged anew each time. */
  private judgements: Uint8Array | null

  constructor(text: string, { remembers }: { readonly remembers: boolean }) {
    this.text = text
    this.wants = text === "" ? null : parseRequirement(text)
    this.judgements = remembers && this.wants !== null ? new Uint8Array(64) : null
  }

  isMetBy(node: Judged): boolean {
    const { wants, judgements } = this
    if (wants === null) return true
    if (judgements === null) return matches(wants, node.facts)
    const at = node.number >> 2
    const known = at < judgements.length ? (judgements[at]! >> ((node.number & 3) << 1)) & 3 : UNKNOWN
    if (known !== UNKNOWN) return known === MET
    const isMet = matches(wants, node.facts)
    this.note(node.number, isMet ? MET : NOT_MET)
    return isMet
  }

  /** The node's properties may be others now. */
  forget({ number }: Pick<Judged, "number">): void {
    if (this.judgements !== null && number >> 2 < this.judgements.length) this.note(number, UNKNOWN)
  }

  private note(number: number, judgement: number): void {
    const at = number >> 2
    if (at >= this.judgements!.length) {
      const longer = new Uint8Array(2 * at)
      longer.set(this.judgements!)
      this.judgements = longer
    }
    const shift = (number & 3) << 1
    this.judgements![at] = (this.judgements![at]! & ~(3 << shift)) | (judgement << shift)
  }
}
