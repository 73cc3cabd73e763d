// The hub's store in a simulated world: in memory, or the database itself in a directory of its own, which every restart opens as
// a killed hub would. Both go the same way.
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { MemoryStore } from "../store/memory/memory.ts"
import { DirectStore, type DirectStoreOptions } from "../store/sqlite/direct.ts"

export type SimulatedStore = MemoryStore | DirectStore

/** Where nothing has to get to a disk that turns: a world writes thousands of times in a second. */
const SHARED_MEMORY = "/dev/shm"

export class Disk {
  readonly store: SimulatedStore
  readonly #directory: string | null

  constructor(kind: "memory" | "sqlite", options: Omit<DirectStoreOptions, "directory">) {
    if (kind === "memory") {
      this.#directory = null
      this.store = new MemoryStore(options)
      return
    }
    this.#directory = mkdtempSync(join(existsSync(SHARED_MEMORY) ? SHARED_MEMORY : tmpdir(), "cah-sim-"))
    this.store = new DirectStore({ ...options, directory: this.#directory })
  }

  async remove(): Promise<void> {
    await this.store.close()
    if (this.#directory !== null) rmSync(this.#directory, { recursive: true })
  }
}
