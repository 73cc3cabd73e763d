// Who calls a service's method.
import type { HandlerContext } from "@connectrpc/connect"
import type { Caller } from "../../auth/tokens.ts"
import { callerKey } from "./guard.ts"

/** The guard has let the caller in; without one there is a hole in it, and nothing is served through it. */
export function callerOf(context: HandlerContext): Caller {
  const caller = context.values.get(callerKey)
  if (caller === null) throw new Error("a call came past the guard")
  return caller
}
