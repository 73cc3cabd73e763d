// The operator's service: tokens, enrolments, nodes. Every method asks for the admin scope, in the contract.

import { type Duration, durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt"
import type { ServiceImpl } from "@connectrpc/connect"
import type { OperatorService } from "../../../proto/gen/cah/v1/operator_pb.ts"
import type { Scope } from "../../../proto/gen/cah/v1/scope_pb.ts"
import type { Backup, Backups, Progress } from "../../backup/backups.ts"
import type { Cases } from "../../cases/cases.ts"
import { CahError } from "../../core/errors.ts"
import type { Log } from "../../core/ports.ts"
import type { ScopeName, TokenRow } from "../../core/rows.ts"
import { callerOf } from "../rpc/caller.ts"
import { scopeNames, scopesByName } from "../rpc/scopes.ts"

export interface OperatorParts {
  readonly cases: Pick<Cases, "access" | "nodes">
  readonly backups: Backups
  readonly log: Log
}

export function operatorService(parts: OperatorParts): ServiceImpl<typeof OperatorService> {
  const { backups, log } = parts
  const { access, nodes } = parts.cases
  return {
    async createToken({ principal, scopes, lifetime }, context) {
      const given = { principal, scopes: scopesOf(scopes), lifetimeMs: lifetimeOf(lifetime) }
      const { row, secret } = await access.createToken(callerOf(context), given)
      return { token: wireToken(row), secret }
    },
    listTokens() {
      return { tokens: access.tokens().map(wireToken) }
    },
    async revokeToken({ id }, context) {
      await access.revokeToken(callerOf(context), id)
      return {}
    },
    async createEnrolment({ account, uses, lifetime }, context) {
      const made = await access.createEnrolment(callerOf(context), { account, uses, lifetimeMs: lifetimeOf(lifetime) })
      return { secret: made.secret, expiresAt: timestampFromMs(made.expiresAt) }
    },
    async setShare({ owner, share }, context) {
      await access.setShare(callerOf(context), owner, share)
      return {}
    },
    listShares() {
      return {
        shares: access.shares().map(({ owner, share, usedCoreSeconds, slotsNow, projects }) => ({
          owner,
          share,
          usedCoreSeconds,
          slotsNow,
          projects: projects.map(one => ({ ...one })),
        })),
      }
    },
    async *backup({ keep }, context) {
      if (keep === 0) throw new CahError("invalid_argument", "keep is 0: the backup itself would not stay; at least 1")
      log.info({ by: callerOf(context).principal, keep }, "backup asked for")
      for await (const step of backups.make(keep ?? null, context.signal)) yield wireBackup(step)
    },
    async drainNode({ node, drained }, context) {
      await nodes.drain(callerOf(context), node, drained)
      return {}
    },
    async forgetNode({ node }, context) {
      await nodes.forget(callerOf(context), node)
      return {}
    },
    async releaseNode({ node }, context) {
      await nodes.release(callerOf(context), node)
      return {}
    },
    async revokeNode({ node }, context) {
      await nodes.revoke(callerOf(context), node)
      return {}
    },
  }
}

function wireBackup(step: Progress | Backup) {
  const { name, copiedBlobs, copiedBytes, blobs } = step
  const far = { name, blobs: BigInt(blobs), copiedBlobs: BigInt(copiedBlobs), copiedBytes: BigInt(copiedBytes) }
  if ("blobsDone" in step) return { ...far, blobsDone: BigInt(step.blobsDone) }
  const { path, madeAt, campaigns, blobBytes, lostBlobs, removed } = step
  return {
    ...far,
    blobsDone: far.blobs,
    made: {
      path,
      madeAt: timestampFromMs(Date.parse(madeAt)),
      campaigns: BigInt(campaigns),
      blobBytes: BigInt(blobBytes),
      lostBlobs: [...lostBlobs],
      removed: [...removed],
    },
  }
}

function wireToken(row: TokenRow) {
  return {
    id: row.id,
    principal: row.principal,
    scopes: row.scopes.flatMap(name => scopesByName.get(name) ?? []),
    createdAt: timestampFromMs(row.createdAt),
    ...(row.expiresAt === null ? {} : { expiresAt: timestampFromMs(row.expiresAt) }),
    ...(row.revokedAt === null ? {} : { revokedAt: timestampFromMs(row.revokedAt) }),
    ...(row.lastUsedAt === null ? {} : { lastUsedAt: timestampFromMs(row.lastUsedAt) }),
  }
}

function scopesOf(wire: readonly Scope[]): ScopeName[] {
  return wire.map(scope => {
    const name = scopeNames.get(scope)
    if (name === undefined) throw new CahError("invalid_argument", `scope ${scope} is unknown to this hub`)
    return name
  })
}

function lifetimeOf(duration: Duration | undefined): number | null {
  return duration === undefined ? null : durationMs(duration)
}
