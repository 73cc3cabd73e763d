// What a shell is told while somebody presses Tab: words that only the hub or the configuration knows. Fast or not at all: the hub has one second,
// its answers are kept for ten, and silence where anything is wrong.
import { readFile, rename, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import type { Context } from "./context.ts"
import { ClientError } from "./errors.ts"
import { makeFolder } from "./folders.ts"
import type { Hub } from "./library.ts"
import { COMPLETE_CACHE_MS, COMPLETE_MAX_MS, COMPLETE_WORDS_MAX } from "./limits.ts"
import { clean } from "./output.ts"
import { campaignState, tally } from "./text.ts"

export const kinds = ["campaigns", "nodes", "digests", "contexts"] as const
export type Kind = (typeof kinds)[number]

export interface Word {
  readonly word: string
  readonly about: string
}

/** What an argument of that name may be, and an option's value: `<selector...>`, `<id>`, `<node>`. */
export const kindOf: Readonly<Record<string, Kind>> = {
  selector: "campaigns",
  id: "campaigns",
  ids: "campaigns",
  node: "nodes",
  digest: "digests",
  context: "contexts",
  url: "contexts",
}

export async function wordsFor(context: Context, kind: Kind): Promise<readonly Word[]> {
  if (kind === "contexts") return context.config.contexts.map(({ name, url }) => ({ word: name, about: url }))
  const { host } = context.config.hub.value
  const file = join(context.config.paths.cache, `complete-${kind}-${host.replace(/[^\w.-]/g, "_")}.json`)
  const kept = await fresh(file)
  if (kept !== null) return kept
  const words = await asked(context, kind)
  if (words === null) return []
  await keep(file, words).catch(() => {
    // A cache that cannot be written is none.
  })
  return words
}

/** Null: the hub could not be asked in time. */
async function asked(context: Context, kind: Exclude<Kind, "contexts">): Promise<Word[] | null> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<null>(resolve => {
    timer = setTimeout(() => resolve(null), COMPLETE_MAX_MS)
  })
  const words: Word[] = []
  const ask = async () => {
    for await (const word of sources[kind](await context.hub())) if (words.push(word) >= COMPLETE_WORDS_MAX) break
    return words
  }
  try {
    return await Promise.race([late, ask()])
  } catch (thrown) {
    if (thrown instanceof ClientError) return null
    throw thrown
  } finally {
    clearTimeout(timer)
  }
}

const sources: Readonly<Record<Exclude<Kind, "contexts">, (hub: Hub) => AsyncGenerator<Word>>> = {
  async *campaigns(hub) {
    for await (const campaign of hub.list({ max: COMPLETE_WORDS_MAX })) {
      const { ended, total } = tally(campaign)
      yield { word: String(campaign.id), about: `${campaign.name} ${ended}/${total} ${campaignState(campaign)}`.trim() }
    }
  },
  async *nodes(hub) {
    for await (const node of hub.nodes()) yield { word: node.name === "" ? node.id : node.name, about: node.id }
  },
  async *digests(hub) {
    for await (const { blob, campaigns } of hub.blobs()) {
      yield { word: blob?.digest ?? "", about: `${blob?.sizeBytes} bytes, of ${campaigns.join(", ") || "no campaign"}` }
    }
  },
}

async function fresh(file: string): Promise<readonly Word[] | null> {
  try {
    const { mtimeMs } = await stat(file)
    if (Date.now() - mtimeMs > COMPLETE_CACHE_MS) return null
    const words: unknown = JSON.parse(await readFile(file, "utf8"))
    return Array.isArray(words) ? words : null
  } catch {
    // Not there yet, or half written by somebody else: the hub is asked.
    return null
  }
}

async function keep(file: string, words: readonly Word[]): Promise<void> {
  await makeFolder(join(file, ".."), 0o700)
  const beside = `${file}.${process.pid}`
  await writeFile(beside, JSON.stringify(words), { mode: 0o600 })
  await rename(beside, file)
}

/** "12\twing 5/10 running": shells that show descriptions do so, bash cuts them off. Strangers name nodes: one line, no controls. */
export function lineOf({ word, about }: Word): string {
  return `${clean(word).replace(/\s+/g, "_")}\t${clean(about).replace(/\s+/g, " ")}`
}
