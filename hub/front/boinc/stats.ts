// The export for statistics sites (BOINCstats, Free-DC and the like): totals for everybody, and by name only those volunteers who said
// on their page that they want it. Made when it is asked for, at most once in a while, in pages, so that the hub goes on
// with its work between them. All of it is sums of the ledger.
import { promisify } from "node:util"
import { gzip } from "node:zlib"
import { creditAt, creditOf } from "../../core/credit.ts"
import type { Clock, StoreReader } from "../../core/ports.ts"
import { accountOf, type CreditTotal, type HostRow, type VolunteerRow } from "../../core/volunteers.ts"
import { STATS_DELETED_MS, STATS_EVERY_MS, STATS_PAGE } from "../../limits.ts"
import type { Answer } from "../http.ts"
import { externalId, md5, seconds } from "./reply.ts"
import { element, nested } from "./xml.ts"

export interface StatsParts {
  readonly store: Pick<StoreReader, "volunteers">
  readonly clock: Clock
  /** Shown by statistics sites as the application's name. */
  readonly applicationName: string
}

const compress = promisify(gzip)

/** Both names that sites ask for: classic servers sorted them differently. */
const aliases: ReadonlyMap<string, string> = new Map([
  ["user.gz", "user_id.gz"],
  ["host.gz", "host_id.gz"],
  ["team.gz", "team_id.gz"],
])

export class Stats {
  readonly #parts: StatsParts
  #made: { readonly files: Promise<ReadonlyMap<string, Buffer>>; readonly atMs: number } | null = null

  constructor(parts: StatsParts) {
    this.#parts = parts
  }

  /** Null: there is no file of that name. */
  async file(name: string): Promise<Answer | null> {
    const nowMs = this.#parts.clock.nowMs()
    if (this.#made === null || nowMs - this.#made.atMs >= STATS_EVERY_MS) {
      this.#made = { files: this.#make(), atMs: nowMs }
      // Whoever asks next tries again.
      this.#made.files.catch(() => {
        this.#made = null
      })
    }
    const body = (await this.#made.files).get(aliases.get(name) ?? name)
    if (body === undefined) return null
    return { status: 200, type: name.endsWith(".gz") ? "application/gzip" : "text/xml", body }
  }

  async #make(): Promise<ReadonlyMap<string, Buffer>> {
    const { store, clock, applicationName } = this.#parts
    const { volunteers } = store
    const wallMs = clock.wallMs()
    const sum = volunteers.creditSum()
    const [users, deleted, shown]: [string[], string[], Set<number>] = [[], [], new Set()]
    let [usersTotal, hostsTotal] = [0, 0]
    for await (const row of paged((after, limit) => volunteers.volunteers(after, limit))) {
      if (row.forgottenAt !== null) {
        // Sites know by it whom to delete, if they were ever told of them; what stays of the others is a number that nobody asks for.
        const isTold = row.shown && wallMs - row.forgottenAt < STATS_DELETED_MS
        if (isTold) deleted.push(nested("user", element("id", row.id), element("cpid", row.crossId)))
        continue
      }
      usersTotal++
      if (!row.shown) continue
      shown.add(row.id)
      users.push(userLines(row, volunteers.credit(accountOf(row.id)), wallMs))
    }
    const hosts: string[] = []
    for await (const row of paged((after, limit) => volunteers.hosts(after, limit))) {
      if (row.cpid === "") continue
      hostsTotal++
      const owner = shown.has(row.volunteer) ? volunteers.volunteer(row.volunteer) : null
      if (owner !== null) hosts.push(hostLines(row, owner, volunteers.hostCredit(row.id), wallMs))
    }
    const tables = nested(
      "tables",
      element("update_time", seconds(wallMs)),
      element("nusers_total", usersTotal),
      element("nteams_total", 0),
      element("nhosts_total", hostsTotal),
      element("total_credit", credit(creditOf(sum.slotMs))),
      nested("applications", nested("application", element("name", applicationName))),
    )
    const zipped = async (root: string, rows: string[]) =>
      compress(`<?xml version="1.0" encoding="UTF-8"?>\n${nested(root, ...rows)}`)
    return new Map([
      ["tables.xml", Buffer.from(tables)],
      ["user_id.gz", await zipped("users", users)],
      ["host_id.gz", await zipped("hosts", hosts)],
      // There are no teams here; sites want the file all the same.
      ["team_id.gz", await zipped("teams", [])],
      ["user_deleted.gz", await zipped("users_deleted", deleted)],
      ["host_deleted.gz", await zipped("hosts_deleted", [])],
    ])
  }
}

/** All rows, a page at a time, and everybody else's turn after each. */
async function* paged<R extends { id: number }>(page: (after: number, limit: number) => R[]): AsyncGenerator<R> {
  let after = 0
  for (;;) {
    const rows = page(after, STATS_PAGE)
    yield* rows
    if (rows.length < STATS_PAGE) return
    after = rows.at(-1)!.id
    await new Promise(resolve => setImmediate(resolve))
  }
}

function credit(value: number): string {
  return value.toFixed(6)
}

function sums(total: CreditTotal, wallMs: number): string {
  const { total: all, average } = creditAt(total, wallMs)
  return [
    element("total_credit", credit(all)),
    element("expavg_credit", credit(average)),
    element("expavg_time", seconds(wallMs)),
  ].join("")
}

function userLines(row: VolunteerRow, total: CreditTotal, wallMs: number): string {
  return nested(
    "user",
    element("id", row.id),
    element("name", row.name),
    element("country", "None"),
    element("create_time", seconds(row.createdAt)),
    sums(total, wallMs),
    element("cpid", externalId(row)),
  )
}

/** The machine as its client describes it; its own name is nobody's business. */
function hostLines(row: HostRow, owner: VolunteerRow, total: CreditTotal, wallMs: number): string {
  const { p_ncpus: processors, virtualbox_version: virtualBox, ...facts } = row.facts
  return nested(
    "host",
    element("id", row.id),
    element("userid", owner.id),
    sums(total, wallMs),
    // What its virtual machine said of itself is for its volunteer.
    ...Object.entries(facts).map(([name, value]) =>
      value === "" || name.startsWith("vm_") ? "" : element(name, value),
    ),
    element("ncpus", processors ?? ""),
    virtualBox === undefined ? "" : element("vbox_version", virtualBox),
    element("create_time", seconds(row.createdAt)),
    element("rpc_time", seconds(row.heardAt)),
    element("host_cpid", md5(`${row.cpid}${owner.email ?? ""}`)),
  )
}
