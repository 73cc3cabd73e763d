// A bounded number of places that strangers may take, shared by address: none has more than its bound, and when all are taken the
// address that has most gives way to one that has fewer. So two addresses that take all they can keep nobody else out.

interface Place {
  readonly block: string
  readonly giveWay: () => void
}

export class Shares {
  readonly #max: number
  readonly #perBlockMax: number
  /** Oldest first. */
  readonly #places = new Map<string, Set<Place>>()
  /** Blocks by how many places they have: which has most is asked at each newcomer. */
  readonly #blocks: Set<string>[] = []
  #taken = 0

  constructor(max: number, perBlockMax: number) {
    this.#max = max
    this.#perBlockMax = perBlockMax
  }

  get taken(): number {
    return this.#taken
  }

  /**
   * How to give the place back, which may be called twice; or null: there is none for this block. `giveWay` is called when the place
   * is taken away, and has been given back by then.
   */
  take(block: string, giveWay: () => void): (() => void) | null {
    const mine = this.of(block)
    if (mine >= this.#perBlockMax) return null
    if (this.#taken >= this.#max && !this.#makeRoom(mine)) return null
    const place: Place = { block, giveWay }
    const places = this.#places.get(block) ?? new Set()
    this.#places.set(block, places.add(place))
    this.#taken++
    this.#moved(block, mine, mine + 1)
    return () => this.#giveBack(place)
  }

  /** Whether take() would find a place. */
  hasRoomFor(block: string): boolean {
    const mine = this.of(block)
    return mine < this.#perBlockMax && (this.#taken < this.#max || this.#canMakeRoom(mine))
  }

  /** Places that the block has. */
  of(block: string): number {
    return this.#places.get(block)?.size ?? 0
  }

  /** Only where the newcomer has fewer even afterwards: else two that have as many would take turns. */
  #canMakeRoom(mine: number): boolean {
    return this.#blocks.length - 1 > mine + 1
  }

  #makeRoom(mine: number): boolean {
    if (!this.#canMakeRoom(mine)) return false
    const [fullest] = this.#blocks.at(-1)!
    const [oldest] = this.#places.get(fullest!)!
    this.#giveBack(oldest!)
    oldest!.giveWay()
    return true
  }

  #giveBack(place: Place): void {
    const places = this.#places.get(place.block)
    if (places?.delete(place) !== true) return
    this.#taken--
    this.#moved(place.block, places.size + 1, places.size)
    if (places.size === 0) this.#places.delete(place.block)
  }

  #moved(block: string, from: number, to: number): void {
    this.#blocks[from]?.delete(block)
    if (to > 0) {
      this.#blocks[to] ??= new Set()
      this.#blocks[to].add(block)
    }
    while (this.#blocks.length > 0 && (this.#blocks.at(-1)?.size ?? 0) === 0) this.#blocks.pop()
  }
}
