// For tests: a store each of whose batches is followed by a start on a copy of its files, as if the hub had been killed just then.
// What starts must know the same, whatever was written before and in whatever order.
import assert from "node:assert/strict"
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Store, StoreReader } from "../../core/ports.ts"
import type { JournalLimits } from "./batches.ts"
import { DirectStore, type DirectStoreOptions } from "./direct.ts"

/** As large as a journal ever grows, or put away a row or two with each batch. */
export const journals: readonly JournalLimits[] = [
  { keptCharacters: Number.MAX_SAFE_INTEGER, putAwayRows: 500 },
  { keptCharacters: 300, putAwayRows: 2 },
]

/** Where nothing has to get to a disk that turns, if there is such a place: hundreds of databases are made. */
const SHARED_MEMORY = "/dev/shm"

export function scratch(): string {
  return mkdtempSync(join(existsSync(SHARED_MEMORY) ? SHARED_MEMORY : tmpdir(), "cah-anew-"))
}

/** What a starting hub loads, and what people ask for first. */
function told(store: StoreReader) {
  return {
    last: store.lastCampaign(),
    live: store.liveCampaigns(),
    jobs: store.liveJobs(),
    listed: store.campaigns({ owner: null, before: 0, limit: 100, live: false }),
    isSwept: !store.hasForgotten(),
    notice: store.nextNoticeAt(),
    nodes: store.nodes(),
    tokens: store.tokens(),
    usages: store.usages(),
    shares: store.shares(),
    blobs: [...store.blobs()],
    unnamed: store.unreferencedBlobs(Number.MAX_SAFE_INTEGER),
    people: store.volunteers.lastIds(),
    credit: store.volunteers.creditSum(),
  }
}

/** Starts a hub's store on a copy of what lies in the directory. */
export async function demandStart(store: StoreReader, { directory, wallMs }: DirectStoreOptions): Promise<void> {
  const copy = scratch()
  try {
    for (const name of ["hub.db", "hub.db-wal"]) {
      if (existsSync(join(directory, name))) copyFileSync(join(directory, name), join(copy, name))
    }
    const another = new DirectStore({ directory: copy, wallMs })
    try {
      assert.deepEqual(told(another), told(store))
    } finally {
      await another.close()
    }
  } finally {
    rmSync(copy, { recursive: true })
  }
}

/** A store on the options' directory, which is tried after each batch. */
export function openTried(options: DirectStoreOptions): Store {
  const store = new DirectStore(options)
  const commit: Store["commit"] = (writes, done, apart) =>
    store.commit(
      writes,
      (error, refused) => {
        if (error !== null) return done(error, refused)
        demandStart(store, options).then(
          () => done(null, refused),
          thrown => done(thrown, refused),
        )
      },
      apart,
    )
  return new Proxy<Store>(store, {
    get(target, name) {
      if (name === "commit") return commit
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === "function" ? value.bind(target) : value
    },
  })
}
