// What a call can be refused with: the hub says one of these, and a client knows them.

/** A closed list, named like gRPC's, so that every front maps it with a table. */
export type ErrorCode =
  | "invalid_argument"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "unauthenticated"
  | "failed_precondition"
  | "resource_exhausted"
  | "aborted"
  | "unavailable"
  | "data_loss"
  | "internal"
