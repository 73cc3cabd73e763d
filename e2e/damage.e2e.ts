// What lies on a hub's disk is damaged: bits of stored blobs flip while it is down and while it is up, files vanish, the
// write-ahead log is cut short or scribbled over, pages of the database are overwritten. Whatever the hub still says after that
// must be true: it serves no wrong byte and no wrong row, says that data are lost, or refuses to start with words that help.
// The one exception is printed, for it is SQLite's: a log that lost its end is an earlier moment, whole and without a trace.
//   node --import tsx e2e/damage.e2e.ts [--all]     (--all: every page of the database, which takes minutes)
import { randomBytes } from "node:crypto"
import { cpSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { parseArgs } from "node:util"
import { startAgent } from "../harness/agents.ts"
import { type CampaignAnswer, Hub } from "../harness/hub.ts"
import { end, type Program, start, tail } from "../harness/processes.ts"
import { WITHOUT_WALLS } from "../harness/walls.ts"
import { CallFailed, download, upload } from "./blobs.ts"
import { type Acknowledged, examine } from "./ledger.ts"

const { values } = parseArgs({ options: { all: { type: "boolean", default: false } } })

const FILES = 3
const FILE_BYTES = 300_000
/** Enough for the tables of jobs and results to have pages of more than one kind. */
const JOBS = 1_500
const PAGES_TRIED = 6
const PAGE_BYTES = 4_096
/** Where the log is cut, as shares of its length. */
const CUTS = [0, 0.3, 0.8]
const DONE_MAX_MS = 60_000
const LOOK_EVERY_MS = 50

/** All that a hub says about its jobs, to compare. */
type Truth = ReadonlyMap<string, string>

interface Prepared {
  readonly acknowledged: Acknowledged[]
  /** Campaign of the jobs that left files. */
  readonly files: string
  readonly contents: readonly Buffer[]
  readonly truth: Truth
}

async function ended(hub: Hub, campaign: string): Promise<void> {
  const deadlineMs = performance.now() + DONE_MAX_MS
  for (;;) {
    const answer = await hub.ask<{ campaign: CampaignAnswer }>("ScientistService/GetCampaign", { campaign })
    if (answer.campaign.endedAt !== undefined) return
    if (performance.now() > deadlineMs) throw new Error(`not ended: ${JSON.stringify(answer.campaign.counts)}`)
    await pause(LOOK_EVERY_MS)
  }
}

/** Every row that a scientist can see. What the hub will not say is "?" and why. */
async function see(hub: Hub, campaigns: readonly number[]): Promise<Truth> {
  const seen = new Map<string, string>()
  for (const campaign of campaigns) {
    const about = await hub.askOnce("ScientistService/GetCampaign", { campaign })
    seen.set(`campaign ${campaign}`, about.status === 200 ? about.text : `? ${about.text}`)
    for (let fromIndex = 0; ; ) {
      const page = await hub.askOnce("ScientistService/ListJobs", { campaign, fromIndex, limit: 500 })
      if (page.status !== 200) {
        seen.set(`jobs ${campaign} from ${fromIndex}`, `? ${page.text}`)
        break
      }
      const { jobs = [] } = JSON.parse(page.text) as { jobs?: { id: { index?: number } }[] }
      for (const job of jobs) seen.set(`job ${campaign}.${job.id.index ?? 0}`, JSON.stringify(job))
      const last = jobs.at(-1)
      if (last === undefined || jobs.length < 500) break
      fromIndex = (last.id.index ?? 0) + 1
    }
  }
  return seen
}

/**
 * Everything said that is not so. What is missing or refused is no lie. `earlier`: the hub speaks of an earlier moment, so that
 * what it says of jobs that had ended by then must be so, and others may be on their way.
 */
function lies(said: Truth, truth: Truth, earlier: boolean): string[] {
  return [...said]
    .filter(([what, words]) => !words.startsWith("?") && truth.has(what) && truth.get(what) !== words)
    .filter(([what, words]) => !earlier || (what.startsWith("job ") && words.includes("PHASE_ENDED")))
    .map(([what, words]) => `${what} is said to be ${words.slice(0, 200)}, and is ${truth.get(what)?.slice(0, 200)}`)
}

async function prepare(place: string): Promise<Prepared> {
  const data = join(place, "killed")
  const hub = await Hub.start(data, join(place, "hub.log"))
  const programs: Program[] = []
  try {
    programs.push(await startAgent(hub, { name: "home", place, flags: ["--slots", "4", ...WITHOUT_WALLS] }))
    const inputs = Array.from({ length: FILES }, () => randomBytes(FILE_BYTES))
    for (const [index, bytes] of inputs.entries()) writeFileSync(join(place, `file.${index}`), bytes)
    const acknowledged: Acknowledged[] = []
    const submit = async (key: string, command: string, array: number): Promise<string> => {
      const spec = { name: key, command: [command], stageout: ["output"], walltime: "60s", array }
      const answer = await hub.ask<{ campaign: string }>("ScientistService/Submit", { idempotencyKey: key, spec })
      acknowledged.push({ key, campaign: Number(answer.campaign), jobs: array, ended: true })
      await ended(hub, answer.campaign)
      return answer.campaign
    }
    const files = await submit("files", `cp ${join(place, "file.")}$CAH_ARRAY_INDEX output`, FILES)
    await end(programs)
    const { secret } = await hub.ask<{ secret: string }>("OperatorService/CreateEnrolment", { account: "x", uses: 20 })
    const flags = ["--hub", hub.url, "--enroll", secret, "--agents", "20"]
    programs.push(start("swarm", ["--import", "tsx", "bench/swarm.ts", ...flags], {}, join(place, "swarm.log")))
    await submit("many", "true", JOBS)
    const contents: Buffer[] = []
    for (let index = 0; index < FILES; index++) contents.push((await download(hub, { campaign: files, index })).bytes)
    for (const [index, bytes] of inputs.entries()) {
      if (!contents[index]?.includes(bytes)) throw new Error(`without any damage: file ${index} is not what it was`)
    }
    const truth = await see(
      hub,
      acknowledged.map(({ campaign }) => campaign),
    )
    // Killed, so that the log is full; then started and stopped once more, so that in another copy the database is.
    await hub.killAtOnce()
    cpSync(data, join(place, "stopped"), { recursive: true })
    const again = await Hub.start(join(place, "stopped"), join(place, "hub.log"))
    await end([again.program])
    return { acknowledged, files, contents, truth }
  } catch (error) {
    for (const program of [hub.program, ...programs]) console.error(await tail(program))
    throw error
  } finally {
    await end([...programs, hub.program])
  }
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
  writeFileSync(path, bytes)
}

async function needs(hub: Hub): Promise<string> {
  const answer = await fetch(new URL("/api/v1/status", hub.url), { headers: { authorization: `Bearer ${hub.token}` } })
  const text = await answer.text()
  if (answer.status !== 200) return `${answer.status}: ${text.trim()}`
  return (JSON.parse(text) as { needs: { what: string }[] }).needs.map(({ what }) => what).join(" ")
}

async function blobsGoBad(place: string, { files, contents }: Prepared): Promise<string[]> {
  const data = copy(place, "stopped")
  const complaints: string[] = []
  const paths: string[] = []
  const get = async (index: number): Promise<string> => {
    try {
      const { bytes } = await download(hub, { campaign: files, index })
      return contents[index]?.equals(bytes) ? "right" : "WRONG"
    } catch (error) {
      return error instanceof CallFailed ? error.code : String(error)
    }
  }
  const expect = async (index: number, wanted: string, when: string): Promise<void> => {
    const got = await get(index)
    if (got !== wanted) complaints.push(`file ${index}, ${when}: ${got} in place of ${wanted}`)
  }
  const expectNeeds = async (words: RegExp | null, when: string): Promise<void> => {
    const said = await needs(hub)
    const isRight = words === null ? !/stored file/.test(said) : words.test(said)
    if (!isRight) complaints.push(`${when} the status page says "${said}"`)
  }
  let hub = await Hub.start(data, join(place, "hub.log"))
  try {
    for (let index = 0; index < FILES; index++) {
      const { blob } = await download(hub, { campaign: files, index })
      const name = blob.digest.slice("sha256:".length)
      paths.push(join(data, "blobs/sha256", name.slice(0, 2), name))
    }
    const [first = "", second = "", third = ""] = paths
    await end([hub.program])
    flip(first, FILE_BYTES / 2)
    rmSync(second)
    hub = await Hub.start(data, join(place, "hub.log"))
    await expectNeeds(/1 stored file is missing/, "after a start with one file gone")
    await expect(1, "data_loss", "which was deleted while the hub was down")
    for (const time of ["first", "second"]) await expect(0, "data_loss", `flipped while down, asked a ${time} time`)
    await expectNeeds(/2 stored files are/, "after a flipped bit was found")
    await expect(2, "right", "which nothing happened to")
    flip(third, FILE_BYTES / 3)
    await expect(2, "data_loss", "flipped while the hub is up")
    await expectNeeds(/3 stored files are/, "after another flipped bit was found")
    for (const bytes of contents) await upload(hub, bytes)
    for (let index = 0; index < FILES; index++) await expect(index, "right", "after its bytes were stored anew")
    await expectNeeds(null, "after all was healed")
    console.log(
      "blobs: flipped and deleted ones are data_loss, told on the status page, and whole again once stored anew",
    )
    return complaints
  } finally {
    await end([hub.program])
    rmSync(data, { recursive: true })
  }
}

async function logCut(place: string, prepared: Prepared, share: number, how: "cut" | "scribbled"): Promise<string[]> {
  const data = copy(place, "killed")
  const log = join(data, "hub.db-wal")
  const at = Math.floor(statSync(log).size * share)
  if (how === "cut") truncateSync(log, at)
  else flip(log, at)
  return startedOn(place, data, prepared, `log ${how} at ${share * 100} %`, true)
}

async function pageOverwritten(place: string, prepared: Prepared, page: number): Promise<string[]> {
  const data = copy(place, "stopped")
  const file = join(data, "hub.db")
  const bytes = readFileSync(file)
  randomBytes(PAGE_BYTES).copy(bytes, page * PAGE_BYTES)
  writeFileSync(file, bytes)
  return startedOn(place, data, prepared, `page ${page} overwritten`, false)
}

/** Either it does not start, saying that its database is damaged, or all that it says is so. */
async function startedOn(
  place: string,
  data: string,
  prepared: Prepared,
  what: string,
  earlier: boolean,
): Promise<string[]> {
  const { acknowledged, truth } = prepared
  const log = join(place, `${what.replaceAll(/\W+/g, "-")}.log`)
  let hub: Hub | null = null
  try {
    hub = await Hub.start(data, log)
  } catch (error) {
    const words = readFileSync(log, "utf8").trim()
    console.log(`${what}: refused: ${words.split("\n").at(-1)?.replaceAll(place, "…")}`)
    if (!(error instanceof Error) || /was not ready after/.test(error.message)) return [`${what}: hangs at its start`]
    return /from a backup/.test(words) ? [] : [`${what}: refused without saying what to do: ${words}`]
  }
  try {
    const said = await see(
      hub,
      acknowledged.map(({ campaign }) => campaign),
    )
    const unsaid = [...said.values()].filter(words => words.startsWith("?"))
    const right = [...said].filter(([name, words]) => name.startsWith("job ") && words === truth.get(name)).length
    const told = await needs(hub)
    console.log(
      `${what}: started; ${right} of ${FILES + JOBS} jobs as they were, ${unsaid.length} answers are errors` +
        `${unsaid.length > 0 ? ` as ${unsaid[0]?.slice(2, 120).replaceAll(place, "…")}` : ""}; ` +
        `the status page says "${told === "" ? "all well" : told}"`,
    )
    await hub.killAtOnce()
    // An earlier moment has all of itself: rows that agree with each other, and with the files.
    const found = [...lies(said, truth, earlier), ...(earlier ? examine(data, [], false) : [])]
    return found.map(one => `${what}: ${one}`)
  } finally {
    await end([hub.program])
    rmSync(data, { recursive: true, force: true })
  }
}

function copy(place: string, from: "killed" | "stopped"): string {
  const to = join(place, "damaged")
  rmSync(to, { recursive: true, force: true })
  cpSync(join(place, from), to, { recursive: true })
  return to
}

async function main(): Promise<string[]> {
  const place = await mkdtemp(join(tmpdir(), "cah-damage-"))
  try {
    const prepared = await prepare(place)
    const complaints = await blobsGoBad(place, prepared)
    for (const share of CUTS) complaints.push(...(await logCut(place, prepared, share, "cut")))
    complaints.push(...(await logCut(place, prepared, 0.5, "scribbled")))
    const pages = statSync(join(place, "stopped/hub.db")).size / PAGE_BYTES
    const step = values.all ? 1 : Math.max(1, Math.floor(pages / PAGES_TRIED))
    for (let page = 0; page < pages; page += step) complaints.push(...(await pageOverwritten(place, prepared, page)))
    return complaints
  } finally {
    await rm(place, { recursive: true, force: true })
  }
}

const complaints = await main()
for (const complaint of complaints.slice(0, 30)) console.error(`✗ ${complaint}`)
process.exit(complaints.length === 0 ? 0 : 1)
