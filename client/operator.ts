// What an operator asks of the hub, as a part of the library: tokens, enrolments, nodes, shares. The hub refuses everybody else. Prints
// nothing; what comes back may hold a secret, which is for the caller to show or to store.
import { durationFromMs } from "@bufbuild/protobuf/wkt"
import {
  type BackupResponse,
  type CreateEnrolmentResponse,
  type CreateTokenResponse,
  OperatorService,
  type Share,
  type Token,
} from "../proto/gen/cah/v1/operator_pb.ts"
import type { Scope } from "../proto/gen/cah/v1/scope_pb.ts"
import type { CallOptions, Rpc } from "./rpc.ts"

const { method } = OperatorService

export class Operator {
  readonly #rpc: Rpc
  readonly #call: () => CallOptions

  /** @internal A part of Hub: see Hub.operator. */
  constructor(rpc: Rpc, call: () => CallOptions) {
    this.#rpc = rpc
    this.#call = call
  }

  /** Never asked twice: a lost answer may have been a token that nobody saw. Null: it never expires. */
  createToken(principal: string, scopes: readonly Scope[], lifetimeMs: number | null): Promise<CreateTokenResponse> {
    const lifetime = lifetimeMs === null ? {} : { lifetime: durationFromMs(lifetimeMs) }
    return this.#rpc.unary(method.createToken, { principal, scopes: [...scopes], ...lifetime }, this.#call())
  }

  async tokens(): Promise<Token[]> {
    return (await this.#rpc.unary(method.listTokens, {}, this.#call())).tokens
  }

  async revokeToken(id: string): Promise<void> {
    await this.#rpc.unary(method.revokeToken, { id }, this.#call())
  }

  /** Null: the hub's quarter of an hour. */
  createEnrolment(account: string, uses: number, lifetimeMs: number | null): Promise<CreateEnrolmentResponse> {
    const lifetime = lifetimeMs === null ? {} : { lifetime: durationFromMs(lifetimeMs) }
    return this.#rpc.unary(method.createEnrolment, { account, uses, ...lifetime }, this.#call())
  }

  async drainNode(node: string, drained: boolean): Promise<void> {
    await this.#rpc.unary(method.drainNode, { node, drained }, this.#call())
  }

  async releaseNode(node: string): Promise<void> {
    await this.#rpc.unary(method.releaseNode, { node }, this.#call())
  }

  async revokeNode(node: string): Promise<void> {
    await this.#rpc.unary(method.revokeNode, { node }, this.#call())
  }

  /** How far it is, about once a second; the last answer says what was made. Leaving the loop early gives the backup up. Null: all stay. */
  backup(keep: number | null): AsyncGenerator<BackupResponse, void, undefined> {
    return this.#rpc.serverStream(method.backup, keep === null ? {} : { keep }, this.#call())
  }

  async forgetNode(node: string): Promise<void> {
    await this.#rpc.unary(method.forgetNode, { node }, this.#call())
  }

  async shares(): Promise<Share[]> {
    return (await this.#rpc.unary(method.listShares, {}, this.#call())).shares
  }

  async setShare(owner: string, share: number): Promise<void> {
    await this.#rpc.unary(method.setShare, { owner, share }, this.#call())
  }
}
