// Submits orders one after the other, each campaign knowing the numbers of those it waits for. A graph's campaigns have keys made from one,
// so that a repeated submission goes on where the first one stopped and makes nothing twice.
import type { SubmitResponse } from "../../proto/gen/cah/v1/scientist_pb.ts"
import type { Context } from "../context.ts"
import { at, ClientError } from "../errors.ts"
import type { Hub } from "../library.ts"
import { type Notice, noticesOf } from "./notify.ts"
import type { Order } from "./orders.ts"
import { complete, place } from "./send.ts"
import type { Spec } from "./spec.ts"

export interface Submitted {
  readonly order: Order
  readonly answer: SubmitResponse
}

/** `key` may be as long as leaves room for "/" and a job's name. */
export async function submitAll(
  context: Context,
  hub: Hub,
  orders: readonly Order[],
  key: string,
): Promise<Submitted[]> {
  const specs: Spec[] = []
  const notices: Notice[][] = []
  // All inputs first: an unreadable one leaves no half of a graph.
  for (const { draft } of orders) notices.push(await noticesOf(context, draft.notify, draft.notifySecretFile))
  for (const { draft } of orders) specs.push(await complete(context, hub, draft))
  const numbers = new Map<string, bigint>()
  const done: Submitted[] = []
  for (const [index, order] of orders.entries()) {
    const spec = specs[index] ?? order.draft.spec
    const numbered = order.edges.map(({ on, kind }) => ({ campaign: numbers.get(on) ?? 0n, kind }))
    const after = numbered
      .filter(({ kind }) => kind === "after" || kind === "afterOk")
      .map(({ campaign, kind }) => ({ campaign, success: kind === "afterOk" }))
    const one = (wanted: string) => numbered.find(({ kind }) => kind === wanted)?.campaign
    const whole = {
      ...spec,
      after: [...(spec.after ?? []), ...after],
      gather: one("gather") ?? spec.gather ?? 0n,
      inside: one("inside") ?? spec.inside ?? 0n,
    }
    try {
      const answer = await place(context, hub, {
        spec: whole,
        parameters: order.draft.parameters,
        notices: notices[index] ?? [],
        idempotencyKey: order.name === null ? key : `${key}/${order.name}`,
        typedKey: key,
      })
      if (order.name !== null) numbers.set(order.name, answer.campaign)
      done.push({ order, answer })
    } catch (thrown) {
      throw order.name === null ? thrown : halfway(order.name, done, key, ClientError.from(thrown))
    }
  }
  return done
}

/** What a user must know when a graph is there in part. */
function halfway(name: string, done: readonly Submitted[], key: string, error: ClientError): ClientError {
  const placed = at(name, error)
  if (done.length === 0 || error.code === "interrupted") return placed
  const ids = done.map(({ answer }) => answer.campaign).join(",")
  const list = done.map(({ order, answer }) => `${order.name} (${answer.campaign})`).join(", ")
  return new ClientError(placed.code, placed.message, {
    details: { submitted: done.map(({ order, answer }) => ({ name: order.name, campaign: String(answer.campaign) })) },
    cause: error,
    hint: [
      error.hint,
      `Submitted before it: ${list}. Cancel them: cah del ${ids}`,
      `Or go on from there, with those unchanged: --idempotency-key ${key}`,
    ]
      .filter(line => line !== "")
      .join("\n"),
  })
}
