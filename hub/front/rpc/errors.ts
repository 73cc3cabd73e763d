// What a caller is told when something goes wrong, and what the operator is told. CahErrors cross by a table; anything else
// is "internal" with nothing of its text, and its story in the log. Also counts calls: it is the outermost layer.
import type { DescMethod } from "@bufbuild/protobuf"
import {
  Code,
  ConnectError,
  createContextKey,
  type Interceptor,
  type StreamRequest,
  type UnaryRequest,
} from "@connectrpc/connect"
import { ErrorDetailSchema, Reason as WireReason, Retry as WireRetry } from "../../../proto/gen/cah/v1/error_pb.ts"
import { CahError, type ErrorCode, type Reason, type Retry } from "../../core/errors.ts"
import type { Metrics } from "../../metrics.ts"
import type { SparingLog } from "../../sparing.ts"

const codes: Record<ErrorCode, Code> = {
  invalid_argument: Code.InvalidArgument,
  not_found: Code.NotFound,
  already_exists: Code.AlreadyExists,
  permission_denied: Code.PermissionDenied,
  unauthenticated: Code.Unauthenticated,
  failed_precondition: Code.FailedPrecondition,
  resource_exhausted: Code.ResourceExhausted,
  aborted: Code.Aborted,
  unavailable: Code.Unavailable,
  data_loss: Code.DataLoss,
  internal: Code.Internal,
}

const retries: Record<Retry, WireRetry> = {
  never: WireRetry.NEVER,
  later: WireRetry.LATER,
  elsewhere: WireRetry.ELSEWHERE,
}

const reasons: Record<Reason, WireReason> = {
  no_node: WireReason.NO_NODE,
  container: WireReason.CONTAINER,
  reservation: WireReason.RESERVATION,
}

/** With a detail, by which a client tells the hub's own errors from those of a proxy or the wire. */
export function connectErrorOf(thrown: unknown): ConnectError {
  if (thrown instanceof ConnectError) return thrown
  const { message, code, retry, reason, cause } = CahError.from(thrown)
  const value = { retry: retries[retry], reason: reason === null ? WireReason.UNSPECIFIED : reasons[reason] }
  return new ConnectError(message, codes[code], undefined, [{ desc: ErrorDetailSchema, value }], cause)
}

/** Whether answerErrors() has heard of the call, and counts it. */
export const countedKey = createContextKey(false, { description: "the call is counted" })

/** Turns what handlers throw into what callers may read, and counts. Belongs first among the interceptors. */
export function answerErrors(parts: ErrorParts): Interceptor {
  return next => async request => {
    const call = new Call(parts, request)
    request.contextValues.set(countedKey, true)
    try {
      const response = await next(request)
      if (response.stream) return { ...response, message: answered(response.message, call) } as typeof response
      call.ended("ok")
      return response
    } catch (thrown) {
      throw call.failed(thrown)
    }
  }
}

/** Counts a call that was refused before any interceptor heard of it: by its head, or by the bytes of its message. */
export function countRefused(
  { metrics }: Pick<ErrorParts, "metrics">,
  method: DescMethod,
  contentType: string,
  error: ConnectError,
): void {
  const name = `${method.parent.typeName}/${method.name}`
  const code = Code[error.code].toLowerCase()
  metrics.rpcRequests.inc({ method: name, protocol: protocolOf(contentType), code })
}

interface ErrorParts {
  readonly faults: SparingLog
  readonly metrics: Metrics
}

/** One call, from when its handler is asked to the end that is counted. */
class Call {
  private readonly parts: ErrorParts
  private readonly request: UnaryRequest | StreamRequest
  private readonly begun = performance.now()

  constructor(parts: ErrorParts, request: UnaryRequest | StreamRequest) {
    this.parts = parts
    this.request = request
  }

  ended(code: string): void {
    const { metrics } = this.parts
    const { method } = this
    metrics.rpcRequests.inc({ method, protocol: protocolOf(this.request.header.get("content-type")), code })
    metrics.rpcSeconds.observe({ method }, (performance.now() - this.begun) / 1e3)
  }

  failed(thrown: unknown): ConnectError {
    const { signal } = this.request
    // A peer that went away makes whatever was under way fail: no news for anybody.
    const error = signal.aborted ? ConnectError.from(signal.reason, Code.Canceled) : connectErrorOf(thrown)
    this.ended(Code[error.code].toLowerCase())
    if (error.code === Code.Internal || error.code === Code.DataLoss) {
      this.parts.faults.say("error", this.method, "a call failed", { method: this.method, error: thrown })
    }
    return error
  }

  private get method(): string {
    return `${this.request.service.typeName}/${this.request.method.name}`
  }
}

async function* answered<T>(source: AsyncIterable<T>, call: Call): AsyncGenerator<T> {
  let counted = false
  try {
    yield* source
    counted = true
    call.ended("ok")
  } catch (thrown) {
    counted = true
    throw call.failed(thrown)
  } finally {
    if (!counted) call.ended("canceled")
  }
}

function protocolOf(contentType: string | null): string {
  if (contentType?.startsWith("application/grpc-web")) return "grpc-web"
  return contentType?.startsWith("application/grpc") ? "grpc" : "connect"
}
