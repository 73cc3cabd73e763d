// For tests: a desk at the other end of a MessageChannel, as if links were served in another thread. Whatever passes is cloned, so
// that anything but plain data fails; messages keep their order, and answers may come as late as a test likes.
import { MessageChannel, type MessagePort } from "node:worker_threads"
import { CahError, type ErrorCode } from "../core/errors.ts"
import type { Links } from "../core/ports.ts"
import type { Desk } from "./desk.ts"

type Question = Exclude<keyof Desk, "post">
type Saying = Exclude<keyof Links, "health">

type ToDesk =
  | { readonly post: Parameters<Desk["post"]>[0] }
  | { readonly ask: Question; readonly id: number; readonly args: readonly unknown[] }
type ToLinks =
  | { readonly say: Saying; readonly args: readonly unknown[] }
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly error: { readonly code: ErrorCode; readonly message: string } }

interface Waiter {
  resolve(answer: unknown): void
  reject(error: CahError): void
}

/** When an answer leaves. At once, if not told otherwise. */
export type Late = (question: Question) => Promise<void>

/** The hub's end: serves the desk, and is the links to the engine. */
export class HubEnd implements Links {
  readonly #port: MessagePort

  constructor(port: MessagePort, desk: Desk, late: Late) {
    this.#port = port
    port.on("message", (message: ToDesk) => {
      if ("post" in message) {
        desk.post(message.post)
        return
      }
      const { ask, id, args } = message
      const answer = (desk[ask] as (...args: readonly unknown[]) => Promise<unknown>)(...args)
      void this.#answer(id, answer, late(ask))
    })
  }

  offer(...args: Parameters<Links["offer"]>): void {
    this.#say("offer", args)
  }

  speak(...args: Parameters<Links["speak"]>): void {
    this.#say("speak", args)
  }

  drop(...args: Parameters<Links["drop"]>): void {
    this.#say("drop", args)
  }

  resume(): void {
    this.#say("resume", [])
  }

  health(): never {
    throw new Error("the hub's end counts no links")
  }

  #say(say: Saying, args: readonly unknown[]): void {
    this.#port.postMessage({ say, args } satisfies ToLinks)
  }

  async #answer(id: number, answer: Promise<unknown>, when: Promise<void>): Promise<void> {
    const message: ToLinks = await answer.then(
      value => ({ id, answer: value }),
      thrown => {
        const { code, message: words } = CahError.from(thrown)
        return { id, error: { code, message: words } }
      },
    )
    await when
    this.#port.postMessage(message)
  }
}

/** The links' end: a desk that knows nothing by itself. */
export class LinkEnd implements Desk {
  /** What the hub says goes here. */
  links: Links | null = null
  readonly #port: MessagePort
  readonly #waiting = new Map<number, Waiter>()
  #last = 0

  constructor(port: MessagePort) {
    this.#port = port
    port.on("message", (message: ToLinks) => {
      if ("say" in message) {
        ;(this.links![message.say] as (...args: readonly unknown[]) => void)(...message.args)
        return
      }
      const waiter = this.#waiting.get(message.id)!
      this.#waiting.delete(message.id)
      if ("error" in message) waiter.reject(new CahError(message.error.code, message.error.message))
      else waiter.resolve(message.answer)
    })
  }

  post(event: Parameters<Desk["post"]>[0]): void {
    this.#port.postMessage({ post: event } satisfies ToDesk)
  }

  admit(...args: Parameters<Desk["admit"]>): ReturnType<Desk["admit"]> {
    return this.#ask("admit", args)
  }

  report(...args: Parameters<Desk["report"]>): ReturnType<Desk["report"]> {
    return this.#ask("report", args)
  }

  mayFetch(...args: Parameters<Desk["mayFetch"]>): ReturnType<Desk["mayFetch"]> {
    return this.#ask("mayFetch", args)
  }

  mayGive(...args: Parameters<Desk["mayGive"]>): ReturnType<Desk["mayGive"]> {
    return this.#ask("mayGive", args)
  }

  stored(...args: Parameters<Desk["stored"]>): ReturnType<Desk["stored"]> {
    return this.#ask("stored", args)
  }

  gather(...args: Parameters<Desk["gather"]>): ReturnType<Desk["gather"]> {
    return this.#ask("gather", args)
  }

  #ask(ask: Question, args: readonly unknown[]): Promise<never> {
    const id = ++this.#last
    const answer = new Promise<never>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (answer: unknown) => void, reject })
    })
    this.#port.postMessage({ ask, id, args } satisfies ToDesk)
    return answer
  }
}

export function channel(desk: Desk, late: Late = async () => {}): { hub: HubEnd; links: LinkEnd; close(): void } {
  const { port1, port2 } = new MessageChannel()
  const hub = new HubEnd(port1, desk, late)
  const links = new LinkEnd(port2)
  return { hub, links, close: () => port1.close() }
}
