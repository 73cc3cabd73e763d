// The one place where a call of a service is allowed or refused. Deny by default: what a caller needs stands beside each method as
// (cah.v1.scope), and a method without it is closed to everybody, unless its whole service was named as open (health,
// reflection). Whether an object is the caller's own is the service's question, never asked here.
import { type DescMethod, getOption, hasOption } from "@bufbuild/protobuf"
import { Code, ConnectError, createContextKey, type Interceptor } from "@connectrpc/connect"
import { scope as scopeOption } from "../../../proto/gen/cah/v1/scope_pb.ts"
import { type Authenticator, denied, mustAllow } from "../../auth/authenticate.ts"
import type { Caller } from "../../auth/tokens.ts"
import { CahError } from "../../core/errors.ts"
import type { ScopeName } from "../../core/rows.ts"
import { REVOKED_CUT_MS } from "../../limits.ts"
import { scopeNames } from "./scopes.ts"

/** Set for every call that was let in; an open service has none. */
export const callerKey = createContextKey<Caller | null>(null, { description: "who calls" })

/** Why a call was not let in: its interceptors may hear of it before anything of its body is read. */
export const refusalKey = createContextKey<ConnectError | null>(null, { description: "why the call is refused" })

/** Set by the adapter that knows the socket. */
export interface CallPeer {
  readonly address: string
  /** Ends the call's HTTP exchange, whatever state it is in. */
  cut(): void
}
export const peerKey = createContextKey<CallPeer>({ address: "unknown", cut() {} }, { description: "the peer" })

export interface GuardParts {
  readonly authenticator: Authenticator
  /** Full names of services that need no token. */
  readonly open: ReadonlySet<string>
  readonly wallMs: () => number
}

/** Says who calls, from the head of a call alone, and lets its messages through while they may. */
export interface Guard {
  /**
   * Before anything of the body is read. Null: the service is open and asks for nobody. CahError: what the caller is told; the failure
   * is counted.
   */
  admit(method: Method, authorization: string | null, peer: CallPeer): Caller | null
  /** Refuses every call that admit() did not let in, and ends streams whose caller may no longer have them. */
  readonly interceptor: Interceptor
}

export function guard(parts: GuardParts): Guard {
  // By method: reading an option decodes it from its bytes each time.
  const scopes = new Map<Method, ScopeName | null>()
  const admit: Guard["admit"] = (method, authorization, peer) => {
    if (parts.open.has(method.parent.typeName)) return null
    const caller = parts.authenticator.authenticate(authorization, peer.address)
    let needed = scopes.get(method)
    if (needed === undefined) {
      needed = scopeOf(method)
      scopes.set(method, needed)
    }
    if (needed === null) {
      throw new CahError("permission_denied", `${method.name} is closed: it names no scope`)
    }
    mustAllow(caller, needed)
    return caller
  }
  const interceptor: Interceptor = next => async request => {
    const refusal = request.contextValues.get(refusalKey)
    if (refusal !== null) throw refusal
    if (parts.open.has(request.service.typeName)) return next(request)
    const caller = request.contextValues.get(callerKey)
    if (caller === null) throw new ConnectError("a call came past the guard", Code.PermissionDenied)
    const peer = request.contextValues.get(peerKey)
    const life = lifeOf(caller, peer, request.signal, parts.wallMs())
    // Its message may have been a minute on its way.
    const over = life.over()
    if (over !== null) throw new ConnectError(over, Code.Unauthenticated)
    if (!request.stream) return next(request)
    const response = await next({ ...request, message: whileAllowed(request.message, life) } as typeof request)
    if (!response.stream) return response
    return { ...response, message: whileAllowed(response.message, life) } as typeof response
  }
  return { admit, interceptor }
}

type Method = DescMethod

/** What a method needs, or null if nobody wrote it down. */
export function scopeOf(method: Method): ScopeName | null {
  return hasOption(method, scopeOption) ? (scopeNames.get(getOption(method, scopeOption)) ?? null) : null
}

/** Why a stream must end now, and how to hear of it. */
interface Life {
  readonly over: () => string | null
  readonly onOver: (run: () => void) => () => void
}

function lifeOf(caller: Caller, peer: CallPeer, call: AbortSignal, now: number): Life {
  const leftMs = caller.expiresAt === null ? null : caller.expiresAt - now
  const expiresAtMs = leftMs === null ? Infinity : performance.now() + leftMs
  const over = () =>
    caller.revoked.aborted ? denied.revoked : performance.now() >= expiresAtMs ? denied.expired : null
  return {
    over,
    onOver(run) {
      // A reader that does not read never sees the error that run() throws: then the exchange is cut.
      let cut: NodeJS.Timeout | undefined
      const end = () => {
        run()
        cut = setTimeout(() => peer.cut(), REVOKED_CUT_MS)
      }
      caller.revoked.addEventListener("abort", end, { once: true })
      const expiry = setTimeout(end, Math.min(expiresAtMs - performance.now(), 0x7fffffff))
      if (expiresAtMs === Infinity) clearTimeout(expiry)
      const stop = () => {
        clearTimeout(expiry)
        clearTimeout(cut)
        caller.revoked.removeEventListener("abort", end)
        call.removeEventListener("abort", stop)
      }
      // A handler may leave its requests half read: the call's own end is when nobody listens any more.
      call.addEventListener("abort", stop)
      if (call.aborted) stop()
      return stop
    },
  }
}

/** Passes a stream on until it ends or its caller may no longer have it. */
async function* whileAllowed<T>(source: AsyncIterable<T>, life: Life): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]()
  let interrupt: () => void = () => {}
  const stopListening = life.onOver(() => interrupt())
  try {
    for (;;) {
      // One promise a message, not a race with one that lives as long as the token and remembers every contestant.
      const next = await new Promise<IteratorResult<T>>((resolve, reject) => {
        interrupt = () => reject(new ConnectError(life.over() ?? denied.expired, Code.Unauthenticated))
        if (life.over() !== null) interrupt()
        else iterator.next().then(resolve, reject)
      })
      if (next.done) return
      yield next.value
    }
  } finally {
    stopListening()
    // Not awaited: a source that waits for its own news would hold us until then.
    iterator.return?.().catch(() => {})
  }
}
