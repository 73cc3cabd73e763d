// A slot as the BOINC client makes it, and that client's side of the shared file: it writes and reads the eight channels as the client does, once a
// second or when the test says so. For tests; stock clients are met in the end-to-end pieces.
import { closeSync, openSync, readSync, writeFileSync, writeSync } from "node:fs"
import { join } from "node:path"
import { type Channel, channels, SHARED_BYTES, SHARED_FILE } from "./shared.ts"

export interface SlotChange {
  readonly init?: Readonly<Record<string, string | number>>
  readonly preferences?: Readonly<Record<string, string | number>>
}

/** As a stock client 7.20.5 writes it, shortened. */
export function initXml({ init = {}, preferences = {} }: SlotChange = {}): string {
  const element = ([name, value]: [string, string | number]): string => `<${name}>${value}</${name}>`
  const all = {
    major_version: 7,
    minor_version: 20,
    app_name: "vmlauncher",
    project_preferences: "\n<max_vms>1</max_vms>\n",
    project_dir: "/nowhere/projects/hub.example.org",
    authenticator: "0123456789abcdef0123456789abcdef",
    wu_name: "vm_1",
    result_name: "vm_1_0",
    shm_key: -1,
    slot: 0,
    client_pid: process.pid,
    wu_cpu_time: "100.000000",
    starting_elapsed_time: "200.000000",
    checkpoint_period: 60,
    ncpus: "1.000000",
    rsc_memory_bound: 1_000_000_000,
    rsc_disk_bound: 2_000_000_000,
    computation_deadline: 0,
    ...init,
  }
  const limits = { cpu_usage_limit: 100, ram_max_used_busy_pct: 50, ram_max_used_idle_pct: 90, ...preferences }
  return [
    "<app_init_data>",
    ...Object.entries(all).map(element),
    `<host_info>\n<m_nbytes>16000000000.000000</m_nbytes>\n</host_info>`,
    "<proxy_info>\n<socks_server_name></socks_server_name>\n</proxy_info>",
    `<global_preferences>\n${Object.entries(limits).map(element).join("\n")}\n</global_preferences>`,
    "</app_init_data>",
    "",
  ].join("\n")
}

export class FakeClient {
  readonly directory: string
  readonly #fd: number

  constructor(directory: string, change: SlotChange = {}) {
    this.directory = directory
    writeFileSync(join(directory, SHARED_FILE), Buffer.alloc(SHARED_BYTES))
    writeFileSync(join(directory, "init_data.xml"), initXml(change))
    this.#fd = openSync(join(directory, SHARED_FILE), "r+")
  }

  /** All channels empty, as a client makes them before it starts a task. */
  reset(): void {
    writeSync(this.#fd, Buffer.alloc(SHARED_BYTES), 0, SHARED_BYTES, 0)
  }

  /** False while the last message there was not taken. */
  send(channel: Channel, text: string): boolean {
    const offset = channels[channel] * 1_024
    if (this.#flag(offset) !== 0) return false
    writeSync(this.#fd, `${text}\0`, offset + 1)
    writeSync(this.#fd, Buffer.of(1), 0, 1, offset)
    return true
  }

  /** Null: nothing new. */
  take(channel: Channel): string | null {
    const offset = channels[channel] * 1_024
    if (this.#flag(offset) === 0) return null
    const text = Buffer.alloc(1_023)
    readSync(this.#fd, text, 0, text.length, offset + 1)
    writeSync(this.#fd, Buffer.of(0), 0, 1, offset)
    return text.toString("latin1", 0, text.indexOf(0))
  }

  #flag(offset: number): number {
    const flag = Buffer.alloc(1)
    readSync(this.#fd, flag, 0, 1, offset)
    return flag[0]!
  }

  close(): void {
    closeSync(this.#fd)
  }
}
