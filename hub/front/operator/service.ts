// The operator's service: tokens, enrolments, nodes. Every method asks for the admin scope, in the contract.

import { type Duration, durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt"
import type { ServiceImpl } from "@connectrpc/connect"
import type { OperatorService } from "../../../proto/gen/cah/v1/operator_pb.ts"
import type { Scope } from "../../../proto/gen/cah/v1/scope_pb.ts"
import type { Enrolments } from "../../auth/enrolments.ts"
import type { Tokens } from "../../auth/tokens.ts"
import type { Backup, Backups, Progress } from "../../backup/backups.ts"
import { CahError } from "../../core/errors.ts"
import type { NodeId } from "../../core/model.ts"
import type { Engine, Log } from "../../core/ports.ts"
import type { ScopeName, TokenRow } from "../../core/rows.ts"
import { NAME_CHARACTERS_MAX, SHARE_MAX, SHARE_MIN } from "../../limits.ts"
import { callerKey } from "../rpc/guard.ts"
import { scopeNames, scopesByName } from "../rpc/scopes.ts"

export interface OperatorParts {
  readonly engine: Engine
  readonly tokens: Tokens
  readonly enrolments: Enrolments
  readonly backups: Backups
  /** Each change is logged with who made it. */
  readonly log: Log
}

export function operatorService({
  engine,
  tokens,
  enrolments,
  backups,
  log,
}: OperatorParts): ServiceImpl<typeof OperatorService> {
  function checkNode(id: string): NodeId {
    const node = engine.node(id as NodeId)
    if (node === null) throw new CahError("not_found", `there is no node ${id}: \`cah nodes\` lists them`)
    return node.id
  }

  return {
    async createToken({ principal, scopes, lifetime }, context) {
      checkName("principal", principal)
      const { row, secret } = await tokens.create(principal, scopesOf(scopes), lifetimeOf(lifetime) ?? null)
      log.info({ by: context.values.get(callerKey)?.principal, token: row.id, principal }, "token created")
      return { token: wireToken(row), secret }
    },
    listTokens() {
      return { tokens: tokens.list().map(wireToken) }
    },
    async revokeToken({ id }, context) {
      await tokens.revoke(id)
      log.info({ by: context.values.get(callerKey)?.principal, token: id }, "token revoked")
      return {}
    },
    async createEnrolment({ account, uses, lifetime }, context) {
      checkName("account", account)
      const made = await enrolments.create(account, uses === 0 ? 1 : uses, lifetimeOf(lifetime))
      log.info({ by: context.values.get(callerKey)?.principal, account, uses }, "enrolment created")
      return { secret: made.secret, expiresAt: timestampFromMs(made.expiresAt) }
    },
    async setShare({ owner, share }, context) {
      checkName("owner", owner)
      if (!(share >= SHARE_MIN && share <= SHARE_MAX)) {
        throw new CahError("invalid_argument", `share ${share} is out of range: ${SHARE_MIN} to ${SHARE_MAX}`)
      }
      await engine.setShare(owner, share)
      log.info({ by: context.values.get(callerKey)?.principal, owner, share }, "share set")
      return {}
    },
    listShares() {
      return {
        shares: engine.shares().map(({ owner, share, usedCoreSeconds, slotsNow, projects }) => ({
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
      log.info({ by: context.values.get(callerKey)?.principal, keep }, "backup asked for")
      for await (const step of backups.make(keep ?? null, context.signal)) yield wireBackup(step)
    },
    async drainNode({ node, drained }, context) {
      await engine.drainNode(checkNode(node), drained)
      log.info({ by: context.values.get(callerKey)?.principal, node, drained }, "node drained")
      return {}
    },
    async forgetNode({ node }, context) {
      await engine.forgetNode(checkNode(node))
      log.info({ by: context.values.get(callerKey)?.principal, node }, "node forgotten")
      return {}
    },
    async releaseNode({ node }, context) {
      await engine.releaseNode(checkNode(node))
      log.info({ by: context.values.get(callerKey)?.principal, node }, "node released from quarantine")
      return {}
    },
    async revokeNode({ node }, context) {
      await engine.revokeNode(checkNode(node))
      log.info({ by: context.values.get(callerKey)?.principal, node }, "node revoked")
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
  if (wire.length === 0) throw new CahError("invalid_argument", "no scopes: read, submit, cancel or admin")
  const names = wire.map(scope => {
    const name = scopeNames.get(scope)
    if (name === undefined) throw new CahError("invalid_argument", `scope ${scope} is unknown to this hub`)
    return name
  })
  return [...new Set(names)]
}

function lifetimeOf(duration: Duration | undefined): number | undefined {
  if (duration === undefined) return undefined
  const ms = durationMs(duration)
  if (!(ms > 0)) throw new CahError("invalid_argument", "lifetime must be above 0; leave it out for the default")
  return ms
}

function checkName(field: string, name: string): void {
  if (name.trim() === "" || name.length > NAME_CHARACTERS_MAX || /[\p{Cc}/\\]/u.test(name)) {
    const message = `${field}: 1 to ${NAME_CHARACTERS_MAX} characters, without slashes and control characters`
    throw new CahError("invalid_argument", message)
  }
}
