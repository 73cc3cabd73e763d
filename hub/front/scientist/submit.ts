// Submitting, in one message or a stream of them. The idempotency key makes a repeated submit harmless: the core knows the
// keys of live campaigns, the store those of ended ones.
import type { ServiceImpl } from "@connectrpc/connect"
import type { CampaignSpec } from "../../../proto/gen/cah/v1/job_pb.ts"
import type { Notice, ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import { keyTaken } from "../../core/campaigns.ts"
import { CahError } from "../../core/errors.ts"
import type { BlobRef, CampaignId, Dependency } from "../../core/model.ts"
import type { Order } from "../../core/ports.ts"
import { endedWell } from "../../core/rules.ts"
import { PARAMETERS_PENDING_BYTES_MAX } from "../../limits.ts"
import { wireExpectation } from "./explain.ts"
import { Lines, orderOf } from "./order.ts"
import { callerOf, type ScientistParts } from "./parts.ts"

type Service = ServiceImpl<typeof ScientistService>

export function submitMethods(parts: ScientistParts): Pick<Service, "submit" | "submitStream"> {
  const { engine, store, blobs, clock, quotas } = parts
  let pendingBytes = 0

  async function place(order: Order) {
    const earlier = store.campaignByKey(order.owner, order.key)
    if (earlier !== null) {
      if (earlier.specDigest !== order.specDigest) throw keyTaken(order.key, earlier.id)
      return { campaign: BigInt(earlier.id), jobs: earlier.total, existed: true }
    }
    if (order.stagein !== null) await checkStagein(order.owner, order.stagein)
    if (order.rules.inside !== null) checkContainer(order.owner, order.rules.inside)
    const { refusal, warnings, expectation } = engine.judge(order)
    if (refusal !== null) throw new CahError("failed_precondition", refusal)
    const waitsFor = order.waitsFor.filter(dependency => isAwaited(order.owner, dependency))
    const jobsMax = quotas.limits.jobs
    const { campaign, jobs, existed } = await engine.submit({ ...order, waitsFor, jobsMax })
    const answer = { campaign: BigInt(campaign), jobs, existed, warnings: [...warnings] }
    return expectation === null ? answer : { ...answer, expectation: wireExpectation(expectation) }
  }

  function checkContainer(owner: string, container: CampaignId): void {
    if (store.campaign(container)?.owner === owner) return
    throw new CahError("not_found", `there is no campaign ${container} to run inside: \`cah ls\` lists yours`)
  }

  /** Whether that campaign has still to end. One that was needed and did not end well can't be waited for. */
  function isAwaited(owner: string, { campaign, success }: Dependency): boolean {
    const row = store.campaign(campaign)
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
  async function checkStagein(owner: string, { digest, sizeBytes }: BlobRef): Promise<void> {
    const stored = store.ownsBlob(digest, owner) ? store.hasBlob(digest) : null
    // Asking the blob store keeps the bytes from being collected until the campaign names them.
    if (stored === null || !(await blobs.has(digest))) {
      throw new CahError("failed_precondition", `the stagein ${digest} is not on the hub: upload it, then submit again`)
    }
    if (stored !== sizeBytes) {
      throw new CahError("invalid_argument", `the stagein ${digest} has ${stored} bytes, not ${sizeBytes}`)
    }
  }

  return {
    submit({ idempotencyKey, spec, parameters, notices }, context) {
      quotas.submit(callerOf(context).principal)
      const lines = new Lines().of(spec)
      lines.add(parameters)
      return place(
        orderOf(
          callerOf(context).principal,
          idempotencyKey,
          spec,
          parameters.length > 0 ? lines.all : null,
          notices,
          clock.wallMs(),
        ),
      )
    },

    async submitStream(requests, context) {
      const owner = callerOf(context).principal
      quotas.submit(owner)
      const lines = new Lines()
      let key = ""
      let spec: CampaignSpec | undefined
      let notices: readonly Notice[] = []
      let first = true
      let counted = 0
      try {
        for await (const request of requests) {
          if (first) {
            ;({ idempotencyKey: key, spec, notices } = request)
            // An order that could not be taken anyway is refused before its million lines were sent.
            orderOf(owner, key, spec, ["a line to come"], notices, clock.wallMs())
            lines.of(spec)
          } else if (request.spec !== undefined || request.idempotencyKey !== "") {
            throw new CahError("invalid_argument", "spec and idempotency_key belong into the first message only")
          }
          first = false
          lines.add(request.parameters)
          pendingBytes += lines.bytes - counted
          counted = lines.bytes
          if (pendingBytes > PARAMETERS_PENDING_BYTES_MAX) {
            throw new CahError("resource_exhausted", "too many large submits at once: try again in a minute")
          }
        }
        return await place(orderOf(owner, key, spec, lines.all.length > 0 ? lines.all : null, notices, clock.wallMs()))
      } finally {
        pendingBytes -= counted
      }
    },
  }
}
