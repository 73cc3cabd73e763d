// Builders for the core's tests: a state with nodes and campaigns in two lines, and a way to step it that returns what
// was asked for and checks the invariants each time.

import assert from "node:assert/strict"
import type { Digest } from "../../proto/wire/digest.ts"
import { noLog } from "../../proto/wire/log.ts"
import { HEARTBEAT_MS } from "../limits.ts"
import { explain } from "./asking/explain.ts"
import { type Effects, noEffects, type Speech } from "./effects.ts"
import type { Event, RequestId } from "./events.ts"
import { violations } from "./invariants.ts"
import type { CampaignId, LinkId, NodeId, Result, State } from "./model.ts"
import type { Order } from "./ports.ts"
import { emptyState } from "./restore.ts"
import type { Write } from "./rows.ts"
import { noRules } from "./rules.ts"
import { step, writesOf } from "./step.ts"

export const digest = (letter: string) => `sha256:${letter.repeat(64)}` as Digest

export function order(change: Partial<Order> = {}): Order {
  return {
    owner: "ada",
    key: "key",
    specDigest: digest("a"),
    name: "frames",
    project: "",
    spec: new Uint8Array([1]),
    stagein: null,
    needs: { slots: 1, memoryBytes: 0, diskBytes: 0 },
    walltimeMs: 3_600_000,
    rules: noRules,
    held: false,
    waitsFor: [],
    priority: 0,
    total: 3,
    lines: null,
    ...change,
  }
}

export function result(change: Partial<Result> = {}): Result {
  return {
    outcome: "finished",
    exitCode: 0,
    message: "",
    warnings: "",
    stageout: null,
    stdout: noLog,
    stderr: noLog,
    runMs: 10,
    cpuMs: 10,
    peakMemoryBytes: 0,
    ...change,
  }
}

/** A hub's core with a clock that the test moves. */
export class TestCore {
  state: State
  nowMs = 1_000
  /** How far the wall clock is ahead of where it should be. */
  wallJumpMs = 0
  private lastRequest = 0
  private lastLink = 0

  constructor(state: State = emptyState()) {
    this.state = state
  }

  /** Steps the events, ends the tick, checks the invariants, and returns all that was asked for. */
  tick(...events: Event[]): { speech: Speech[]; writes: Write[]; effects: Effects } {
    const now = { nowMs: this.nowMs, wallMs: 1e12 + this.nowMs + this.wallJumpMs }
    const effects = noEffects()
    for (const event of events) step(this.state, event, now, effects)
    step(this.state, { kind: "Ticked" }, now, effects)
    assert.deepEqual(violations(this.state), [])
    return { speech: effects.speech, writes: writesOf(effects, now), effects }
  }

  wait(ms: number): { speech: Speech[]; writes: Write[] } {
    this.nowMs += ms
    return this.tick()
  }

  /** The same while every connected node heartbeats and runs what it was offered. Returns all that was said. */
  live(ms: number): Speech[] {
    const speech: Speech[] = []
    const untilMs = this.nowMs + ms
    for (let sequence = 1; this.nowMs < untilMs; sequence++) {
      this.nowMs = Math.min(untilMs, this.nowMs + HEARTBEAT_MS)
      const connected = [...this.state.nodes.values()].filter(({ link }) => link !== null)
      const beats = connected.map(
        ({ id, epoch }) => ({ kind: "HeartbeatReceived", node: id, epoch, sequence }) as const,
      )
      const running = connected.flatMap(({ id, held }) =>
        [...held.values()]
          .filter(({ stopping }) => stopping === null)
          .map(({ campaign, index, attempt }) => this.report(id, [campaign, index, attempt], "running")),
      )
      speech.push(...this.tick(...running, ...beats).speech)
    }
    return speech
  }

  request(): RequestId {
    return ++this.lastRequest as RequestId
  }

  submit(change: Partial<Order> = {}): CampaignId {
    this.tick({ kind: "CampaignSubmitted", request: this.request(), ...order(change) })
    return this.state.lastCampaign as CampaignId
  }

  hello(
    name: string,
    change: Partial<Extract<Event, { kind: "NodeHello" }>> = {},
  ): Extract<Event, { kind: "NodeHello" }> {
    return {
      kind: "NodeHello",
      link: ++this.lastLink as LinkId,
      node: name as NodeId,
      account: "volunteer:1",
      host: null,
      network: "192.0.2.0/24",
      publicKey: new Uint8Array(32),
      agentVersion: "1",
      bootId: "boot",
      name,
      slots: 1,
      memoryBytes: 1e9,
      diskBytes: 1e9,
      properties: {},
      holding: [],
      ...change,
    }
  }

  /** What a node says of an attempt, in its present session. */
  report(
    node: string,
    [campaign, index, attempt]: [number, number, number],
    phase: "staging" | "running" | "returning" | "ended",
    ended: Partial<Result> = {},
  ): Event {
    return {
      kind: "AttemptReported",
      node: node as NodeId,
      epoch: this.state.nodes.get(node as NodeId)!.epoch,
      campaign: campaign as CampaignId,
      index,
      attempt,
      phase,
      result: phase === "ended" ? result(ended) : null,
    }
  }

  /** The sentence, or "" for what has ended. */
  explain(campaign: CampaignId, index: number | null): string {
    const found = this.state.campaigns.get(campaign)
    const now = { nowMs: this.nowMs, wallMs: 1e12 + this.nowMs + this.wallJumpMs }
    return found === undefined ? "" : (explain(this.state, found, index, now)?.sentence ?? "")
  }

  job(campaign: number, index: number) {
    return this.state.campaigns.get(campaign as CampaignId)?.jobs.get(index) ?? null
  }
}

/** Offers, without what they carry for the agent. */
export function offersOf(speech: readonly Speech[]) {
  return only(speech, "Offer").map(({ link, campaign, index, attempt }) => ({ link, campaign, index, attempt }))
}

/** Only the kinds named, for assertions that list everything of these kinds. */
export function only<K extends Speech["kind"]>(
  speech: readonly Speech[],
  ...kinds: K[]
): Extract<Speech, { kind: K }>[] {
  return speech.filter((said): said is Extract<Speech, { kind: K }> => (kinds as string[]).includes(said.kind))
}
