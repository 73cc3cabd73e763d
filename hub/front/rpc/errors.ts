// What a caller is told when something goes wrong, and what the operator is told. CahErrors cross by a table; anything else
// is "internal" with nothing of its text, and its story in the log. Also counts calls: it is the outermost layer.
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect"
import { CahError, type ErrorCode } from "../../core/errors.ts"
import type { Log } from "../../core/ports.ts"
import type { Metrics } from "../../metrics.ts"

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

export function connectErrorOf(thrown: unknown): ConnectError {
  if (thrown instanceof ConnectError) return thrown
  const error = CahError.from(thrown)
  return new ConnectError(error.message, codes[error.code], undefined, undefined, error.cause)
}

/** Turns what handlers throw into what callers may read, and counts. Belongs first among the interceptors. */
export function answerErrors({ log, metrics }: { log: Log; metrics: Metrics }): Interceptor {
  return next => async request => {
    const begun = performance.now()
    const method = `${request.service.typeName}/${request.method.name}`
    const protocol = protocolOf(request.header.get("content-type"))
    const ended = (code: string) => {
      metrics.rpcRequests.inc({ method, protocol, code })
      metrics.rpcSeconds.observe({ method }, (performance.now() - begun) / 1e3)
    }
    const failed = (thrown: unknown): ConnectError => {
      // A peer that went away makes whatever was under way fail: no news for anybody.
      const error = request.signal.aborted
        ? ConnectError.from(request.signal.reason, Code.Canceled)
        : connectErrorOf(thrown)
      ended(Code[error.code].toLowerCase())
      if (error.code === Code.Internal || error.code === Code.DataLoss) {
        log.error({ method, error: thrown }, "a call failed")
      }
      return error
    }
    try {
      const response = await next(request)
      if (!response.stream) {
        ended("ok")
        return response
      }
      return { ...response, message: answered(response.message, ended, failed) } as typeof response
    } catch (thrown) {
      throw failed(thrown)
    }
  }
}

async function* answered<T>(
  source: AsyncIterable<T>,
  ended: (code: string) => void,
  failed: (thrown: unknown) => ConnectError,
): AsyncGenerator<T> {
  let counted = false
  try {
    yield* source
    counted = true
    ended("ok")
  } catch (thrown) {
    counted = true
    throw failed(thrown)
  } finally {
    if (!counted) ended("canceled")
  }
}

function protocolOf(contentType: string | null): string {
  if (contentType?.startsWith("application/grpc-web")) return "grpc-web"
  return contentType?.startsWith("application/grpc") ? "grpc" : "connect"
}
