// grpc.health.v1: the same answer as /readyz, for gRPC tools, balancers and probes.
import { create } from "@bufbuild/protobuf"
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect"
import {
  type Health,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as Status,
} from "../../../proto/gen/grpc/health/v1/health_pb.ts"
import { KEEP_ALIVE_MS } from "../../limits.ts"

export interface HealthParts {
  /** Full names of the services that are served. */
  readonly services: readonly string[]
  isReady(): Promise<boolean>
  /** How often Watch looks, ms. */
  readonly everyMs: number
}

export function healthService({ services, isReady, everyMs }: HealthParts): ServiceImpl<typeof Health> {
  const known = new Set(["", ...services])
  const now = async (name: string) => {
    if (!known.has(name)) return Status.SERVICE_UNKNOWN
    return (await isReady()) ? Status.SERVING : Status.NOT_SERVING
  }
  return {
    async check({ service }) {
      const status = await now(service)
      if (status === Status.SERVICE_UNKNOWN) throw new ConnectError(`no service ${service}`, Code.NotFound)
      return { status }
    },
    async list() {
      // One hub, one answer: no service is ready without the others.
      const status = await now("")
      return {
        statuses: Object.fromEntries([...known].map(name => [name, create(HealthCheckResponseSchema, { status })])),
      }
    },
    async *watch({ service }, { signal }) {
      let last: Status | null = null
      let saidAtMs = 0
      for (;;) {
        signal.throwIfAborted()
        const status = await now(service)
        if (status !== last || performance.now() - saidAtMs >= KEEP_ALIVE_MS) {
          last = status
          saidAtMs = performance.now()
          yield { status }
        }
        await pause(everyMs, signal)
      }
    },
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener("abort", done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener("abort", done)
  })
}
