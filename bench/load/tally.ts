// What all simulated agents of one process saw, so that every run can be checked to the last job: each must have been offered once,
// and its end accepted once. Wakes whoever waits for the last of a campaign.
export interface CampaignTally {
  readonly campaign: number
  /** Different jobs offered; offers beyond the first of a job; ends accepted; ends beyond the first of a job. */
  offered: number
  offeredAgain: number
  ended: number
  endedAgain: number
}

/** Answer and Reconcile of link.proto that mean: the result counts. */
const ACCEPTED = 1
const ALREADY = 2
const RECONCILE_DISCARD = 3
const RECONCILE_ACCEPTED = 4
/** Words kept of what went wrong: the first say it. */
const ODDITIES_MAX = 50

interface Counted extends CampaignTally {
  /** Bits: 1 offered, 2 ended. */
  marks: Uint8Array
  firstOfferedNs: bigint
}

export class Tally {
  readonly #campaigns = new Map<number, Counted>()
  readonly #waiting: { campaign: number; jobs: number; resolve(): void }[] = []
  readonly #onFirst = new Map<number, (ns: bigint) => void>()
  readonly #oddities: string[] = []
  /** Sent, and answered. */
  beats = 0
  heartbeats = 0
  reports = 0
  answers = 0
  /** Commands that ended while their agent had no link. */
  endedAway = 0
  links = 0
  lostLinks = 0
  /** Of dials, by their answer. */
  readonly refusals = new Map<string, number>()
  lastWelcomeMs = 0
  readonly oddities = { push: (words: string) => this.#odd(words) }

  get found(): readonly string[] {
    return this.#oddities
  }

  /** False: it had been offered before, with any attempt. */
  offered(campaign: number, index: number, attempt: number): boolean {
    const counted = this.#of(campaign, index)
    if (counted.offered === 0) {
      counted.firstOfferedNs = process.hrtime.bigint()
      this.#onFirst.get(campaign)?.(counted.firstOfferedNs)
    }
    const marks = counted.marks[index]!
    if ((marks & 1) !== 0) {
      counted.offeredAgain++
      return false
    }
    counted.marks[index] = marks | 1
    counted.offered++
    if (attempt !== 1) this.#odd(`job ${campaign}.${index} began with attempt ${attempt}`)
    return true
  }

  ended(campaign: number, index: number, attempt: number, answer: number): void {
    if (answer !== ACCEPTED && answer !== ALREADY) {
      this.#odd(`the end of ${campaign}.${index}#${attempt} was answered with ${answer}`)
      return
    }
    const counted = this.#of(campaign, index)
    if ((counted.marks[index]! & 2) !== 0) {
      counted.endedAgain++
      return
    }
    counted.marks[index]! |= 2
    counted.ended++
    for (let i = 0; i < this.#waiting.length; i++) {
      const { campaign: awaited, jobs, resolve } = this.#waiting[i]!
      if (awaited !== campaign || counted.ended < jobs) continue
      this.#waiting.splice(i, 1)
      resolve()
      return
    }
  }

  /**
   * After a hello: told so instead of being asked to go on. To be told to forget what has ended means that its end was taken, and the
   * answer lost with the link; that it was, the hub's database must show afterwards.
   */
  reconciled(
    { campaign, index, attempt, hasEnded }: { campaign: number; index: number; attempt: number; hasEnded: boolean },
    what: number,
  ): void {
    const isTaken = what === RECONCILE_ACCEPTED || what === RECONCILE_DISCARD
    if (hasEnded && isTaken) this.ended(campaign, index, attempt, ACCEPTED)
    else this.#odd(`after a hello nobody wanted ${campaign}.${index}#${attempt} (${what})`)
  }

  welcomed(nowMs: number): void {
    this.links++
    this.lastWelcomeMs = nowMs
  }

  lost(why: string): void {
    this.links--
    this.lostLinks++
    this.refused(why)
  }

  refused(why: string): void {
    this.refusals.set(why, (this.refusals.get(why) ?? 0) + 1)
  }

  /** Resolves when that many jobs of it have ended, as far as these agents know. */
  whenEnded(campaign: number, jobs: number): Promise<void> {
    if ((this.#campaigns.get(campaign)?.ended ?? 0) >= jobs) return Promise.resolve()
    return new Promise(resolve => this.#waiting.push({ campaign, jobs, resolve }))
  }

  /** When its first job was offered, by process.hrtime. */
  whenOffered(campaign: number): Promise<bigint> {
    const counted = this.#campaigns.get(campaign)
    if (counted !== undefined && counted.offered > 0) return Promise.resolve(counted.firstOfferedNs)
    return new Promise(resolve => this.#onFirst.set(campaign, resolve))
  }

  campaign(campaign: number): CampaignTally {
    const { offered, offeredAgain, ended, endedAgain } = this.#of(campaign, 0)
    return { campaign, offered, offeredAgain, ended, endedAgain }
  }

  /** Over all that were not forgotten. */
  all(): { readonly offered: number; readonly ended: number } {
    const sums = { offered: 0, ended: 0 }
    for (const { offered, ended } of this.#campaigns.values()) {
      sums.offered += offered
      sums.ended += ended
    }
    return sums
  }

  /** Nobody asks for it any more. */
  forget(campaign: number): void {
    this.#campaigns.delete(campaign)
    this.#onFirst.delete(campaign)
  }

  #of(campaign: number, index: number): Counted {
    let counted = this.#campaigns.get(campaign)
    if (counted === undefined) {
      const none = { offered: 0, offeredAgain: 0, ended: 0, endedAgain: 0 }
      counted = { campaign, ...none, marks: new Uint8Array(64), firstOfferedNs: 0n }
      this.#campaigns.set(campaign, counted)
    }
    if (index >= counted.marks.length) {
      const larger = new Uint8Array(2 ** Math.ceil(Math.log2(index + 1)))
      larger.set(counted.marks)
      counted.marks = larger
    }
    return counted
  }

  #odd(words: string): void {
    if (this.#oddities.length < ODDITIES_MAX) this.#oddities.push(words)
  }
}
