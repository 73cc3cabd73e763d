// Scopes in the hub's words and on the wire.
import { Scope } from "../../../proto/gen/cah/v1/scope_pb.ts"
import type { ScopeName } from "../../core/rows.ts"

const pairs: readonly (readonly [Scope, ScopeName])[] = [
  [Scope.READ, "read"],
  [Scope.SUBMIT, "submit"],
  [Scope.CANCEL, "cancel"],
  [Scope.ADMIN, "admin"],
]

/** No entry for unspecified, nor for a scope of a later version: closed. */
export const scopeNames: ReadonlyMap<Scope, ScopeName> = new Map(pairs)
export const scopesByName: ReadonlyMap<ScopeName, Scope> = new Map(pairs.map(([wire, name]) => [name, wire]))
