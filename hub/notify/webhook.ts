// Notices as signed POSTs. The addresses come from scientists and the requests leave from the hub's own network, so that a hub
// asks nobody inside of it: names are looked up here, private addresses are refused, and the connection goes to the address
// that was looked at. No redirects are followed.
import { createHmac } from "node:crypto"
import type { LookupAddress } from "node:dns"
import { lookup } from "node:dns/promises"
import { type RequestOptions, request as requestHttp } from "node:http"
import { request as requestHttps } from "node:https"
import { BlockList, isIP } from "node:net"
import type { Notice } from "../core/model.ts"
import { WEBHOOK_ANSWER_BYTES_MAX } from "../limits.ts"
import type { Carrier, News } from "./deliver.ts"
import { headline, text } from "./text.ts"

/** "public": https to public addresses. "any": also http, and to private addresses: for hubs within one's own walls. */
export type Webhooks = "none" | "public" | "any"

export function webhookCarrier(allowed: Webhooks, wallMs: () => number): Carrier {
  return {
    async carry(target: Notice["target"], news, signal) {
      if (target.kind !== "webhook") throw new Error("not a webhook")
      if (allowed === "none") throw new Error("this hub calls no webhooks: its operator has switched them off")
      const url = new URL(target.url)
      if (allowed === "public" && url.protocol !== "https:") throw new Error("this hub calls webhooks by https only")
      const address = await orAborted(resolve(url, allowed), signal)
      const body = JSON.stringify(told(news))
      const seconds = Math.floor(wallMs() / 1_000)
      const headers = {
        "Content-Type": "application/json",
        "Content-Length": `${Buffer.byteLength(body)}`,
        "User-Agent": "clouds-at-home",
        "Cah-Notice": news.id,
        "Cah-Signature": `t=${seconds},v1=${signature(target.secret, seconds, body)}`,
      }
      const status = await post(url, address, headers, body, signal)
      if (status < 200 || status > 299) throw new Error(`${url.host} answered ${status}`)
    },
  }
}

export function signature(secret: string, seconds: number, body: string): string {
  return createHmac("sha256", secret).update(`${seconds}.${body}`).digest("hex")
}

function told(news: News) {
  const { campaign, occasion, at, errors, id } = news
  return {
    id,
    occasion,
    at: new Date(at).toISOString(),
    headline: headline(news),
    text: text(news),
    campaign: { id: campaign.id, name: campaign.name, total: campaign.total, counts: campaign.counts },
    errors: errors.map(({ outcome, exitCode, message, count, exampleIndex }) => ({
      outcome,
      exitCode,
      message,
      count,
      example: `${campaign.id}.${exampleIndex}`,
    })),
  }
}

/** A look-up cannot be called off: it is left alone when it takes too long. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  return new Promise((done, reject) => {
    const abort = () => reject(signal.reason)
    signal.addEventListener("abort", abort, { once: true })
    work.then(done, reject).finally(() => signal.removeEventListener("abort", abort))
  })
}

async function resolve(url: URL, allowed: Webhooks): Promise<LookupAddress> {
  const name = url.hostname.replace(/^\[|\]$/g, "")
  const family = isIP(name)
  const found = family === 0 ? await lookup(name, { all: true }) : [{ address: name, family }]
  const chosen = allowed === "any" ? found[0] : found.find(({ address }) => !isPrivate(address))
  if (chosen === undefined) throw new Error(`${url.host} is an address within the hub's own network: it is not called`)
  return chosen
}

/** What lies within the addresses that are given out for the open Internet and is none of it. */
const special = new BlockList()
for (const [net, prefix] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  // For documents, and for relays that lead elsewhere.
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
] as const) {
  special.addSubnet(net, prefix)
}
for (const [net, prefix] of [
  // For protocols: Teredo, ORCHID, benchmarks.
  ["2001::", 23],
  ["2001:db8::", 32],
  // 6to4: an address of version 4 in disguise.
  ["2002::", 16],
  ["3fff::", 20],
] as const) {
  special.addSubnet(net, prefix, "ipv6")
}

/** All that is given out in version 6. Beyond are mapped, translated, site-local, link-local and group addresses. */
const global = new BlockList()
global.addSubnet("2000::", 3, "ipv6")

export function isPrivate(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return special.check(address)
    case 6:
      return !global.check(address, "ipv6") || special.check(address, "ipv6")
    default:
      return true
  }
}

function post(
  url: URL,
  { address, family }: LookupAddress,
  headers: Record<string, string>,
  body: string,
  signal: AbortSignal,
): Promise<number> {
  const options: RequestOptions = {
    method: "POST",
    headers,
    signal,
    // The address that was looked at and no other: a name could answer differently the second time.
    lookup: (_name, asked, answer) => {
      if (typeof asked === "object" && asked.all === true) answer(null, [{ address, family }])
      else answer(null, address, family)
    },
  }
  return new Promise((done, reject) => {
    const request = (url.protocol === "https:" ? requestHttps : requestHttp)(url, options, response => {
      let bytes = 0
      response.on("data", (chunk: Buffer) => {
        bytes += chunk.byteLength
        if (bytes > WEBHOOK_ANSWER_BYTES_MAX) response.destroy()
      })
      response.once("close", () => done(response.statusCode ?? 0))
      response.once("error", reject)
    })
    request.once("error", reject)
    request.end(body)
  })
}
