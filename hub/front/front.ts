// Everything that is served over HTTP requests, behind one handler: the operator's endpoints by path, then the services, then
// "not found". The one interceptor that lets callers in is put in its place here, for every service alike.

import { OperatorService } from "../../proto/gen/cah/v1/operator_pb.ts"
import { ScientistService } from "../../proto/gen/cah/v1/scientist_pb.ts"
import { Health } from "../../proto/gen/grpc/health/v1/health_pb.ts"
import type { AccessParts } from "../cases/access.ts"
import { Cases } from "../cases/cases.ts"
import type { CaseParts } from "../cases/parts.ts"
import { CahError } from "../core/errors.ts"
import type { OnRequest } from "../port.ts"
import { SparingLog } from "../sparing.ts"
import { type BoincParts, boincHandler, schedulerUrl } from "./boinc/handler.ts"
import { type OperatorParts, operatorService } from "./operator/service.ts"
import { rpcHandler } from "./rpc/adapter.ts"
import { answerErrors, connectErrorOf, countRefused } from "./rpc/errors.ts"
import { guard } from "./rpc/guard.ts"
import { healthService } from "./rpc/health.ts"
import { reflectionServices, serveReflection } from "./rpc/reflection.ts"
import { type ScientistParts, scientistService } from "./scientist/service.ts"
import { readiness } from "./status/gather.ts"
import { type StatusHandlerParts, statusHandler } from "./status/handler.ts"
import { volunteerPages } from "./volunteer/handler.ts"

export type FrontParts = CaseParts &
  AccessParts &
  Pick<OperatorParts, "backups"> &
  Pick<ScientistParts, "version"> &
  Omit<StatusHandlerParts, "schedulerUrl" | "faults"> &
  Omit<BoincParts, "faults" | "pages"> & {
    /** Ends all open calls. */
    readonly shutdown: AbortSignal
    /** How long one message of a call may take; shorter in tests. */
    readonly messageMs?: number
  }

/** What balancers and probes ask, and what is public anyway. Every other service needs a token. */
const openServices = [Health, ...reflectionServices]
const guardedServices = [ScientistService, OperatorService]

/** How often grpc.health.v1's Watch looks. */
const HEALTH_EVERY_MS = 1_000

export function front(parts: FrontParts): OnRequest {
  // What fails inside fails for as long as somebody asks for it.
  const faults = new SparingLog(parts.log)
  const status = statusHandler({ ...parts, faults, schedulerUrl: request => schedulerUrl(parts, request) })
  const boinc = boincHandler({ ...parts, faults, pages: volunteerPages(parts) })
  const cases = new Cases(parts)
  const { admit, interceptor } = guard({
    authenticator: parts.authenticator,
    open: new Set(openServices.map(service => service.typeName)),
    wallMs: () => parts.clock.wallMs(),
  })
  const rpc = rpcHandler({
    admit,
    interceptors: [answerErrors({ ...parts, faults }), interceptor],
    onRefused: (method, contentType, error) => countRefused(parts, method, contentType, error),
    shutdown: parts.shutdown,
    ...(parts.messageMs === undefined ? {} : { messageMs: parts.messageMs }),
    faults,
    routes(router) {
      router.service(ScientistService, scientistService({ cases, hubId: parts.store.hubId(), version: parts.version }))
      router.service(OperatorService, operatorService({ ...parts, cases }))
      router.service(
        Health,
        healthService({
          services: [...guardedServices, ...openServices].map(service => service.typeName),
          isReady: async () => (await readiness(parts)).ready,
          everyMs: HEALTH_EVERY_MS,
        }),
      )
      serveReflection(
        router,
        [...guardedServices, ...openServices].map(service => service.file),
      )
    },
  })
  return (request, response) => {
    if (status(request, response) || boinc(request, response) || rpc(request, response)) return
    const body = "not found: the status page is at /status, the services are at /cah.v1.ScientistService/…\n"
    response.writeHead(404, {
      "Content-Type": "text/plain; charset=utf-8",
      "Content-Length": Buffer.byteLength(body),
      "X-Content-Type-Options": "nosniff",
    })
    response.end(body)
  }
}

/** What calls that are under way are ended with when the hub goes down. */
export function stopError(): Error {
  return connectErrorOf(new CahError("unavailable", "the hub is stopping: try again in a minute"))
}
