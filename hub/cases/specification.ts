// What a scientist wants to have run, in the hub's own words: plain data, not yet checked (order.ts does that). Fronts fill it in from
// what their callers send; nodes get it as bytes, which only its codec knows.
import type { BlobRef, CampaignId, Dependency, Needs, Notice, Reservation } from "../core/model.ts"

export interface Specification {
  readonly name: string
  readonly project: string
  /** One element is given to `sh -c`; more are run as they are. */
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly parameterNames: readonly string[]
  readonly stagein: BlobRef | null
  readonly stageout: readonly string[]
  readonly requireStageout: boolean
  /** Jobs, where no parameters are given: their lines are counted then. */
  readonly array: number
  readonly walltimeMs: number | null
  readonly graceMs: number | null
  /** No slots: one. */
  readonly needs: Needs | null
  /** Others that a job may take, in the order of preference; no walltime: the campaign's. */
  readonly shapes: readonly { readonly needs: Needs | null; readonly walltimeMs: number | null }[]
  readonly property: string
  readonly priority: number
  /** Held from the start. */
  readonly hold: boolean
  readonly retries: { readonly max: number; readonly exitCodes: readonly number[] } | null
  readonly lossMax: number | null
  readonly after: readonly Dependency[]
  readonly gather: CampaignId | null
  /** Wall time, ms. */
  readonly deadlineAt: number | null
  readonly bestEffort: boolean
  readonly reservation: Reservation | null
  readonly container: boolean
  readonly inside: CampaignId | null
  readonly failMax: number | null
  readonly atOnceMax: number | null
  /** What a later contract than this hub's says, as it came: nodes may know it. Nothing: null. */
  readonly later: Uint8Array | null
}

/** One job without a wish, and without a command: what fronts begin with. */
export const plain: Specification = {
  name: "",
  project: "",
  command: [],
  env: {},
  parameterNames: [],
  stagein: null,
  stageout: [],
  requireStageout: false,
  array: 1,
  walltimeMs: null,
  graceMs: null,
  needs: null,
  shapes: [],
  property: "",
  priority: 0,
  hold: false,
  retries: null,
  lossMax: null,
  after: [],
  gather: null,
  deadlineAt: null,
  bestEffort: false,
  reservation: null,
  container: false,
  inside: null,
  failMax: null,
  atOnceMax: null,
  later: null,
}

/** All of a submit but its lines of parameters. */
export interface Submission {
  /** The same key again, by the same owner: the same campaign, not another. */
  readonly key: string
  readonly spec: Specification
  readonly notices: readonly Notice[]
}

/** The specification in nodes' words. The same one always gives the same bytes: they are part of what a key stands for. */
export type EncodeSpecification = (spec: Specification) => Uint8Array
