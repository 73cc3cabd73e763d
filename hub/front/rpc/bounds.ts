// How large one message of each method may be, and of how many fields and elements: what its honest largest needs, and little
// more. A method that is not named here does not compile. Where each number comes from stands in limits.ts.
import type { DescMethod } from "@bufbuild/protobuf"
import { OperatorService } from "../../../proto/gen/cah/v1/operator_pb.ts"
import { ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import {
  MESSAGE_BYTES_MAX,
  MESSAGE_LINES_ENTRIES_MAX,
  MESSAGE_OPEN_BYTES_MAX,
  MESSAGE_OPEN_ENTRIES_MAX,
  MESSAGE_RANGES_ENTRIES_MAX,
  MESSAGE_SMALL_BYTES_MAX,
  MESSAGE_SMALL_ENTRIES_MAX,
  MESSAGE_SPEC_BYTES_MAX,
  MESSAGE_SPEC_ENTRIES_MAX,
  MESSAGE_UPLOAD_BYTES_MAX,
} from "../../limits.ts"

export interface Bound {
  readonly bytes: number
  /** Fields and elements of lists, at all levels. */
  readonly entries: number
}

const open: Bound = { bytes: MESSAGE_OPEN_BYTES_MAX, entries: MESSAGE_OPEN_ENTRIES_MAX }
const small: Bound = { bytes: MESSAGE_SMALL_BYTES_MAX, entries: MESSAGE_SMALL_ENTRIES_MAX }
const spec: Bound = { bytes: MESSAGE_SPEC_BYTES_MAX, entries: MESSAGE_SPEC_ENTRIES_MAX }
const lines: Bound = { bytes: MESSAGE_BYTES_MAX, entries: MESSAGE_LINES_ENTRIES_MAX }
const ranges: Bound = { bytes: MESSAGE_SPEC_BYTES_MAX, entries: MESSAGE_RANGES_ENTRIES_MAX }

const scientist: Record<keyof typeof ScientistService.method, Bound> = {
  whoAmI: small,
  submit: lines,
  submitStream: lines,
  plan: spec,
  listCampaigns: small,
  getCampaign: small,
  listJobs: small,
  getJob: small,
  explain: small,
  watchCampaign: small,
  cancel: ranges,
  setHold: ranges,
  retryJobs: ranges,
  listNodes: small,
  getUpload: small,
  upload: { bytes: MESSAGE_UPLOAD_BYTES_MAX, entries: MESSAGE_SMALL_ENTRIES_MAX },
  listBlobs: small,
  removeBlob: small,
  forget: small,
  download: small,
  followLog: small,
}

const operator: Record<keyof typeof OperatorService.method, Bound> = {
  createToken: small,
  listTokens: small,
  revokeToken: small,
  createEnrolment: small,
  backup: small,
  drainNode: small,
  releaseNode: small,
  setShare: small,
  listShares: small,
  revokeNode: small,
  forgetNode: small,
}

const bounds: ReadonlyMap<DescMethod, Bound> = new Map([
  ...named(ScientistService.method, scientist),
  ...named(OperatorService.method, operator),
])

/** Services that are not ours (health, reflection) are open to strangers. */
export function boundOf(method: DescMethod): Bound {
  return bounds.get(method) ?? open
}

function named<Name extends string>(
  methods: Readonly<Record<Name, DescMethod>>,
  given: Readonly<Record<Name, Bound>>,
): [DescMethod, Bound][] {
  return (Object.keys(given) as Name[]).map(name => [methods[name], given[name]])
}
