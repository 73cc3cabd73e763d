// Submitting: at once, or with lines of parameters as they come. The key of a submission makes a repeated submit harmless: the core
// knows the keys of live campaigns, the store those of ended ones.
import type { Caller } from "../auth/tokens.ts"
import type { Prospect } from "../core/asking/feasible.ts"
import { keyTaken } from "../core/campaigns.ts"
import { CahError } from "../core/errors.ts"
import type { BlobRef, CampaignId, Dependency } from "../core/model.ts"
import type { Expectation } from "../core/placing/reservations.ts"
import type { Order } from "../core/ports.ts"
import { endedWell } from "../core/rules.ts"
import { ARRAY_MAX, PARAMETERS_PENDING_BYTES_MAX } from "../limits.ts"
import { Lines, type OrderParts, orderOf } from "./order.ts"
import type { CaseParts } from "./parts.ts"
import type { Specification, Submission } from "./specification.ts"

export interface Submitted {
  readonly campaign: CampaignId
  readonly jobs: number
  /** By an earlier submit with this key. */
  readonly existed: boolean
  readonly warnings: readonly string[]
  readonly expectation: Expectation | null
}

type SubmitParts = Pick<CaseParts, "engine" | "store" | "blobs" | "clock" | "quotas" | "encodeSpec">

export class Submits {
  readonly #parts: SubmitParts
  /** Bytes of parameters of all that comes in pieces and is not yet submitted. */
  #pendingBytes = 0

  constructor(parts: SubmitParts) {
    this.#parts = parts
  }

  /** `lines`: the parameters, one line for each job; null: there are none. */
  submit(caller: Caller, submission: Submission, lines: readonly string[] | null): Promise<Submitted> {
    this.#parts.quotas.submit(caller.principal)
    const checked = new Lines().of(submission.spec)
    if (lines !== null) checked.add(lines)
    return this.#place(orderOf(caller.principal, submission, lines, this.#orderParts()))
  }

  /** A submit whose lines come in pieces. Its end() must be called, however it goes. */
  intake(caller: Caller): Intake {
    const { principal } = caller
    this.#parts.quotas.submit(principal)
    return new Intake({
      check: (submission, lines) => orderOf(principal, submission, lines, this.#orderParts()),
      count: bytes => this.#count(bytes),
      place: order => this.#place(order),
    })
  }

  /** How so many jobs of it would go as things stand; 0: as many as its array has. Changes nothing. */
  plan(caller: Caller, spec: Specification, jobs: number): { readonly order: Order; readonly prospect: Prospect } {
    if (jobs > ARRAY_MAX) throw new CahError("invalid_argument", `${jobs} jobs are too many: ${ARRAY_MAX} at most`)
    // Named parameters are held against their lines at the submit itself.
    const counted = { ...spec, array: jobs || spec.array, parameterNames: [] }
    const submission = { key: "a dry run", spec: counted, notices: [] }
    const order = orderOf(caller.principal, submission, null, this.#orderParts())
    return { order, prospect: this.#parts.engine.prospect(order) }
  }

  #orderParts(): OrderParts {
    return { encode: this.#parts.encodeSpec, wallMs: this.#parts.clock.wallMs() }
  }

  #count(bytes: number): void {
    this.#pendingBytes += bytes
    if (bytes > 0 && this.#pendingBytes > PARAMETERS_PENDING_BYTES_MAX) {
      throw new CahError("resource_exhausted", "too many large submits at once: try again in a minute")
    }
  }

  async #place(order: Order): Promise<Submitted> {
    const { engine, store, quotas } = this.#parts
    const earlier = store.campaignByKey(order.owner, order.key)
    if (earlier !== null) {
      if (earlier.specDigest !== order.specDigest) throw keyTaken(order.key, earlier.id)
      return { campaign: earlier.id, jobs: earlier.total, existed: true, warnings: [], expectation: null }
    }
    if (order.stagein !== null) await this.#checkStagein(order.owner, order.stagein)
    if (order.rules.inside !== null) this.#checkContainer(order.owner, order.rules.inside)
    const { refusal, warnings, expectation } = engine.judge(order)
    if (refusal !== null) throw new CahError("failed_precondition", refusal.message, { reason: refusal.reason })
    const waitsFor = order.waitsFor.filter(dependency => this.#isAwaited(order.owner, dependency))
    const jobsMax = quotas.limits.jobs
    const { campaign, jobs, existed } = await engine.submit({ ...order, waitsFor, jobsMax })
    return { campaign, jobs, existed, warnings, expectation }
  }

  #checkContainer(owner: string, container: CampaignId): void {
    if (this.#parts.store.campaign(container)?.owner === owner) return
    throw new CahError("not_found", `there is no campaign ${container} to run inside: \`cah ls\` lists yours`)
  }

  /** Whether that campaign has still to end. One that was needed and did not end well can't be waited for. */
  #isAwaited(owner: string, { campaign, success }: Dependency): boolean {
    const row = this.#parts.store.campaign(campaign)
    if (row === null || row.owner !== owner) {
      throw new CahError("not_found", `there is no campaign ${campaign} to wait for: \`cah ls\` lists yours`)
    }
    if (row.endedAt === null) return true
    if (success && !endedWell(row.counts, row.total)) {
      const message = `campaign ${campaign}, which must end well first, did not: see \`cah show ${campaign}\``
      throw new CahError("failed_precondition", message)
    }
    return false
  }

  /** Of this owner: another's upload is none of theirs, whether or not the bytes are here. */
  async #checkStagein(owner: string, { digest, sizeBytes }: BlobRef): Promise<void> {
    const { store, blobs } = this.#parts
    const stored = store.ownsBlob(digest, owner) ? store.hasBlob(digest) : null
    // Asking the blob store keeps the bytes from being collected until the campaign names them.
    if (stored === null || !(await blobs.has(digest))) {
      throw new CahError("failed_precondition", `the stagein ${digest} is not on the hub: upload it, then submit again`)
    }
    if (stored !== sizeBytes) {
      throw new CahError("invalid_argument", `the stagein ${digest} has ${stored} bytes, not ${sizeBytes}`)
    }
  }
}

interface IntakeParts {
  check(submission: Submission, lines: readonly string[] | null): Order
  /** Bytes that came, or went. Throws when there are too many of all intakes. */
  count(bytes: number): void
  place(order: Order): Promise<Submitted>
}

/** One submission on its way in: begun by all but its lines, then its lines, then placed. */
export class Intake {
  readonly #parts: IntakeParts
  readonly #lines = new Lines()
  #submission: Submission | null = null
  #counted = 0

  constructor(parts: IntakeParts) {
    this.#parts = parts
  }

  begin(submission: Submission): void {
    // An order that could not be taken anyway is refused before its million lines were sent.
    this.#parts.check(submission, ["a line to come"])
    this.#lines.of(submission.spec)
    this.#submission = submission
  }

  add(lines: readonly string[]): void {
    this.#lines.add(lines)
    const more = this.#lines.bytes - this.#counted
    this.#counted += more
    this.#parts.count(more)
  }

  place(): Promise<Submitted> {
    if (this.#submission === null) throw new CahError("invalid_argument", "no spec: say what is to be run")
    const { all } = this.#lines
    return this.#parts.place(this.#parts.check(this.#submission, all.length > 0 ? all : null))
  }

  end(): void {
    this.#parts.count(-this.#counted)
    this.#counted = 0
  }
}
