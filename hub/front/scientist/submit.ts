// Submitting in the contract's words, in one message or a stream of them, and the dry run.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { durationFromMs } from "@bufbuild/protobuf/wkt"
import type { ServiceImpl } from "@connectrpc/connect"
import {
  type ExpectationSchema,
  type ScientistService,
  type SubmitRequest,
  type SubmitStreamRequest,
  type Notice as WireNotice,
  Occasion as WireOccasion,
} from "../../../proto/gen/cah/v1/scientist_pb.ts"
import type { Submission } from "../../cases/specification.ts"
import type { Submits, Submitted } from "../../cases/submit.ts"
import { CahError } from "../../core/errors.ts"
import type { Notice, Occasion } from "../../core/model.ts"
import type { Expectation } from "../../core/placing/reservations.ts"
import { callerOf } from "../rpc/caller.ts"
import { specOf } from "../spec.ts"

type Service = ServiceImpl<typeof ScientistService>

export function submitMethods(submits: Submits): Pick<Service, "submit" | "submitStream" | "plan"> {
  return {
    async submit(request, context) {
      const lines = request.parameters.length > 0 ? linesOf(request) : null
      return wireSubmitted(await submits.submit(callerOf(context), submissionOf(request), lines))
    },

    async submitStream(requests, context) {
      const intake = submits.intake(callerOf(context))
      let isFirst = true
      try {
        for await (const request of requests) {
          if (isFirst) intake.begin(submissionOf(request))
          else if (request.spec !== undefined || request.idempotencyKey !== "") {
            throw new CahError("invalid_argument", "spec and idempotency_key belong into the first message only")
          }
          isFirst = false
          intake.add(linesOf(request))
        }
        return wireSubmitted(await intake.place())
      } finally {
        intake.end()
      }
    },

    plan({ spec, jobs }, context) {
      const { order, prospect: found } = submits.plan(callerOf(context), specOf(spec), jobs)
      const nodes = Math.min(found.nodesOnline, order.total)
      return {
        warnings: [...found.warnings],
        refusal: found.refusal?.message ?? "",
        jobs: order.total,
        nodesOnline: found.nodesOnline,
        nodesAway: found.nodesAway,
        jobsNow: found.jobsNow,
        jobsAtOnce: found.jobsAtOnce,
        stageinBytes: BigInt((order.stagein?.sizeBytes ?? 0) * nodes),
        jobsAhead: BigInt(found.jobsAhead),
        ...(found.atMostMs === null ? {} : { atMost: durationFromMs(found.atMostMs) }),
        ...(found.expectation === null ? {} : { expectation: wireExpectation(found.expectation) }),
      }
    },
  }
}

function linesOf({ parameters }: SubmitRequest | SubmitStreamRequest): string[] {
  return parameters.map(({ line }) => line)
}

function submissionOf({ idempotencyKey: key, spec, notices }: SubmitRequest | SubmitStreamRequest): Submission {
  return { key, spec: specOf(spec), notices: notices.map(noticeOf) }
}

function noticeOf({ occasions, target }: WireNotice, i: number): Notice {
  const words = occasions.map(occasion => {
    const word = occasionWords[occasion]
    if (word !== undefined) return word
    throw new CahError("invalid_argument", `notice ${i} has an occasion that this hub does not know`)
  })
  if (target.case === "mail") return { occasions: words, target: { kind: "mail", address: target.value } }
  if (target.case !== "webhook") {
    throw new CahError("invalid_argument", `notice ${i} has no target: a mail address or a webhook`)
  }
  const { url, secret } = target.value
  return { occasions: words, target: { kind: "webhook", url, secret } }
}

const occasionWords: Readonly<Record<number, Occasion>> = {
  [WireOccasion.RUNNING]: "running",
  [WireOccasion.ERROR]: "error",
  [WireOccasion.END]: "end",
}

function wireSubmitted({ campaign, jobs, existed, warnings, expectation }: Submitted) {
  const answer = { campaign: BigInt(campaign), jobs, existed, warnings: [...warnings] }
  return expectation === null ? answer : { ...answer, expectation: wireExpectation(expectation) }
}

function wireExpectation({ jobs, confidence, nodes }: Expectation): MessageInitShape<typeof ExpectationSchema> {
  return { jobs, confidence, nodes }
}
