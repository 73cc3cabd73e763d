// The hub is killed at single system calls of one job's whole life, from the upload of its stagein to the download of its
// stageout: at those by which it changes its disk (of the store's writer and of the blobs' files) and at those by which it
// speaks, and at those of its own start. Then its disk fails and fills up under it. Each time nothing acknowledged may be
// missing, the job must end once, and its command must have run once.
//   node --import tsx e2e/syscalls.e2e.ts [--points 12 | --all] [--seed N]
// Needs strace and the right to trace; exits with 77 and the reason where that is missing.
import { spawn } from "node:child_process"
import { randomBytes, randomUUID } from "node:crypto"
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buffer } from "node:stream/consumers"
import { setTimeout as pause } from "node:timers/promises"
import { parseArgs } from "node:util"
import { pack } from "tar-stream"
import { startAgent } from "../harness/agents.ts"
import { Hub, type JobAnswer } from "../harness/hub.ts"
import { end, type Program, tail } from "../harness/processes.ts"
import { WITHOUT_WALLS } from "../harness/walls.ts"
import { CallFailed, download, upload } from "./blobs.ts"
import { type Acknowledged, examine } from "./ledger.ts"
import { counted, countedEach, type Role, SYSCALLS, type Syscall, Tracer, threadsOf } from "./tracer.ts"

const { values } = parseArgs({
  options: {
    points: { type: "string", default: "12" },
    all: { type: "boolean", default: false },
    seed: { type: "string" },
  },
})
const wanted = values.all ? Number.POSITIVE_INFINITY : Number(values.points)
/** Which of the points are taken, when not all are. */
const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000))

const STAGEIN_BYTES = 200_000
const LOOK_EVERY_MS = 50
const LIFE_MAX_MS = 60_000
/** A fault is seen by then: the first commit under it fails. */
const FAULT_MAX_MS = 20_000

interface Point {
  readonly where: Role | "start"
  readonly syscall: Syscall
  readonly n: number
}

/** What the world was told, and what the commands did. */
interface Told {
  readonly acknowledged: Acknowledged[]
  readonly uploads: string[]
}

async function until<T>(what: string, maxMs: number, look: () => Promise<T | null>): Promise<T> {
  const deadlineMs = performance.now() + maxMs
  for (;;) {
    const found = await look()
    if (found !== null) return found
    if (performance.now() > deadlineMs) throw new Error(`${what}: not within ${maxMs / 1000} s`)
    await pause(LOOK_EVERY_MS)
  }
}

/** What is asked again while the hub is away: fetch fails, or the answer says so or stops in the middle. */
function isAway(error: unknown): boolean {
  return !(error instanceof CallFailed) || /^(unavailable|aborted|503|internal)/.test(error.code)
}

async function patiently<T>(what: string, act: () => Promise<T>): Promise<T> {
  return until(what, LIFE_MAX_MS, async () => {
    try {
      return await act()
    } catch (error) {
      if (isAway(error)) return null
      throw error
    }
  })
}

class Lives {
  readonly hub: Hub
  readonly told: Told = { acknowledged: [], uploads: [] }
  readonly #place: string
  repeats = 0

  constructor(hub: Hub, place: string) {
    this.hub = hub
    this.#place = place
  }

  /** One job from its stagein to its stageout. Complaints about what it did. */
  async live(): Promise<string[]> {
    const { hub, told } = this
    const key = randomUUID()
    const input = randomBytes(STAGEIN_BYTES)
    const archive = pack()
    archive.entry({ name: "input" }, input)
    archive.finalize()
    const packed = await buffer(archive)
    const stagein = await patiently("upload", () => upload(hub, packed))
    told.uploads.push(stagein.digest)
    const runs = join(this.#place, "runs", key)
    const spec = {
      name: "syscalls",
      command: [`echo run >> ${runs} && cp input output`],
      stagein,
      stageout: ["output"],
      walltime: "60s",
      array: 1,
    }
    const { campaign } = await hub.ask<{ campaign: string }>("ScientistService/Submit", { idempotencyKey: key, spec })
    const entry: Acknowledged = { key, campaign: Number(campaign), jobs: 1 }
    told.acknowledged.push(entry)
    const id = { campaign, index: 0 }
    const job = await until(`job ${campaign}.0`, LIFE_MAX_MS, async () => {
      const { job: now } = await hub.ask<{ job: JobAnswer }>("ScientistService/GetJob", { id })
      return now.outcome === undefined ? null : now
    })
    if (job.outcome !== "OUTCOME_FINISHED") return [`job ${campaign}.0 ended as ${job.outcome}`]
    entry.ended = true
    const got = await patiently("download", () => download(hub, id))
    const lines = (await readFile(runs, "utf8")).split("\n").length - 1
    if ((job.attempt ?? 0) > 1) this.repeats++
    return [
      ...(got.bytes.includes(input) ? [] : [`job ${campaign}.0: its stageout is not what it wrote`]),
      ...(lines === 1 ? [] : [`job ${campaign}.0 ran ${lines} times, in ${job.attempt} attempts`]),
    ]
  }

  threads(): Promise<ReadonlyMap<Role, number>> {
    const { hub } = this
    const commits = () => hub.ask("OperatorService/CreateEnrolment", { account: "threads" })
    return threadsOf(hub.program.pid, commits, () => upload(hub, randomBytes(STAGEIN_BYTES)))
  }

  examine(data: string, all = false): string[] {
    return examine(data, this.told.acknowledged, all, { uploads: this.told.uploads, mayRepeat: true })
  }
}

/** The system calls of one life, and of one start on what is there. */
async function profile(lives: Lives, place: string): Promise<Point[]> {
  const points: Point[] = []
  const add = (where: Point["where"], counts: ReadonlyMap<Syscall, number>) => {
    for (const [syscall, most] of counts) for (let n = 1; n <= most; n++) points.push({ where, syscall, n })
  }
  const threads = await lives.threads()
  const tracers = await Promise.all(
    [...threads].map(async ([role, tid]) => {
      const file = join(place, `calls.${role}`)
      return { role, file, tracer: await Tracer.count(tid, file) }
    }),
  )
  const complaints = await lives.live()
  if (complaints.length > 0) throw new Error(`without any fault: ${complaints.join("; ")}`)
  for (const { role, file, tracer } of tracers) {
    await tracer.detach()
    add(role, role === "main" ? await counted(file) : onDisk(await counted(file)))
  }
  await lives.hub.killAtOnce()
  const trace = ["-D", "-ff", "-o", join(place, "calls.start"), "-e", `trace=${SYSCALLS.join(",")}`]
  await lives.hub.startAgain(["strace", ...trace])
  // Its tracer goes on; the threads could not be traced again.
  await lives.hub.killAtOnce()
  await lives.hub.startAgain()
  add("start", onDisk(await countedEach(place, "calls.start.")))
  return points
}

/** Other threads than the main one `write` only to wake each other. */
function onDisk(counts: ReadonlyMap<Syscall, number>): ReadonlyMap<Syscall, number> {
  return new Map([...counts].filter(([name]) => name !== "write" && name !== "writev"))
}

/** Evenly from each kind in turn, so that the many writes to sockets do not push out the few renames. */
function choose(points: readonly Point[]): Point[] {
  const kinds = new Map<string, Point[]>()
  for (const point of points) {
    const kind = `${point.where} ${point.syscall}`
    kinds.set(kind, [...(kinds.get(kind) ?? []), point])
  }
  console.log(`${points.length} system calls: ${[...kinds].map(([kind, all]) => `${kind} ${all.length}`).join(", ")}`)
  if (points.length <= wanted) return [...points]
  const chosen: Point[] = []
  const lists = [...kinds.values()]
  for (let round = 0; chosen.length < wanted; round++) {
    for (let turn = 0; turn < lists.length && chosen.length < wanted; turn++) {
      const left = lists[(turn + seed) % lists.length] ?? []
      const [point] = left.splice((seed * 7 + round * 13) % Math.max(1, left.length), 1)
      if (point !== undefined) chosen.push(point)
    }
  }
  return chosen
}

async function killAt({ where, syscall, n }: Point, lives: Lives, data: string): Promise<string[] | null> {
  const { hub } = lives
  const fault = `signal=SIGKILL:when=${n}`
  if (where === "start") {
    await hub.killAtOnce()
    hub.begin(["strace", "-D", "-f", "-o", "/dev/null", "-e", `trace=${syscall}`, "-e", `inject=${syscall}:${fault}`])
    const ended = await Promise.race([hub.program.ended, hub.isReady().then(() => null)])
    if (ended === null) await hub.killAtOnce()
    const complaints = lives.examine(data)
    await hub.startAgain()
    complaints.push(...(await lives.live()))
    return ended === "SIGKILL" || complaints.length > 0 ? complaints : null
  }
  const tracer = await Tracer.inject((await lives.threads()).get(where) ?? 0, syscall, fault)
  const life = lives.live()
  // Looked at again below; a failure meanwhile is not unhandled.
  life.catch(() => undefined)
  const killed = await Promise.race([hub.program.ended.then(() => true), life.then(() => false)])
  await tracer.detach()
  if (!killed) return null
  const complaints = lives.examine(data)
  await hub.startAgain()
  complaints.push(...(await life))
  return complaints
}

/** The disk fails under a hub that works; nothing may be promised meanwhile, and it must say what is wrong. */
async function fail(role: Role, syscall: Syscall, error: "EIO" | "ENOSPC", lives: Lives, data: string) {
  const { hub } = lives
  const complaints: string[] = []
  const tracer = await Tracer.inject((await lives.threads()).get(role) ?? 0, syscall, `error=${error}:when=1+`)
  const faultyFrom = performance.now()
  const bytes = randomBytes(STAGEIN_BYTES)
  const uploaded = await upload(hub, bytes).then(
    () => "stored",
    (thrown: unknown) => (thrown instanceof Error ? thrown.message : String(thrown)),
  )
  if (uploaded === "stored") complaints.push("an upload was acknowledged on a disk that failed")
  let said = ""
  if (role === "writer") {
    const key = randomUUID()
    const message = { idempotencyKey: key, spec: { name: "fault", command: ["true"], array: 1 } }
    const { status, text } = await hub.askOnce("ScientistService/Submit", message)
    if (status === 200) complaints.push(`a submit was acknowledged on a disk that failed: ${text}`)
    said = await until("trouble is told", FAULT_MAX_MS, async () => {
      const answer = await fetch(new URL("/readyz", hub.url))
      const words = await answer.text()
      return answer.status === 503 && words.includes("database") ? words.trim() : null
    })
  }
  // The first of each kind is survived as it is, the second by another process on the same disk.
  if (error === "EIO") {
    await hub.killAtOnce()
    await tracer.detach()
    complaints.push(...lives.examine(data))
    await hub.startAgain()
  } else {
    await tracer.detach()
  }
  complaints.push(...(await lives.live()))
  const tookMs = Math.round(performance.now() - faultyFrom)
  console.log(`${role} ${syscall} ${error}: upload "${uploaded}"; readyz "${said}"; well again after ${tookMs} ms`)
  return complaints
}

async function main(): Promise<string[]> {
  const place = await mkdtemp(join(tmpdir(), "cah-syscalls-"))
  const data = join(place, "hub")
  await mkdir(join(place, "runs"))
  const where = { host: "127.0.0.1", more: [], environment: { UV_THREADPOOL_SIZE: "1" } }
  const hub = await Hub.start(data, join(place, "hub.log"), where)
  const programs: Program[] = []
  try {
    programs.push(await startAgent(hub, { name: "home", place, flags: ["--slots", "2", ...WITHOUT_WALLS] }))
    const lives = new Lives(hub, place)
    const complaints: string[] = []
    let missed = 0
    const points = choose(await profile(lives, place))
    for (const point of points) {
      const name = `${point.where} ${point.syscall} ${point.n}`
      const found = await killAt(point, lives, data)
      if (found === null) missed++
      complaints.push(...(found ?? []).map(one => `${name}: ${one}`))
      console.log(`killed at ${name}: ${found === null ? "not reached" : `${found.length} complaints`}`)
    }
    for (const [role, syscall, error] of [
      ["writer", "fsync", "EIO"],
      ["files", "fsync", "EIO"],
      ["writer", "pwrite64", "ENOSPC"],
    ] as const) {
      const found = await fail(role, syscall, error, lives, data)
      complaints.push(...found.map(one => `${role} ${syscall} ${error}: ${one}`))
    }
    await end(programs)
    complaints.push(...lives.examine(data, true))
    console.log(
      `${points.length - missed} of ${points.length} points, ${lives.told.acknowledged.length} jobs each run once ` +
        `(${lives.repeats} in a second attempt because the first never reached the agent), ${complaints.length} complaints`,
    )
    if (missed > points.length / 2) complaints.push(`${missed} of ${points.length} points were not reached`)
    return complaints
  } catch (error) {
    for (const program of [hub.program, ...programs]) console.error(await tail(program))
    throw error
  } finally {
    await end([...programs, hub.program])
    await rm(place, { recursive: true, force: true })
  }
}

/** Tracing a child of one's own may be allowed where attaching to another process is not. */
async function whyNot(): Promise<string | null> {
  const sleeper = spawn("sleep", ["60"], { stdio: "ignore" })
  try {
    const tracer = await Tracer.attach(sleeper.pid ?? 0, ["-o", "/dev/null"])
    await tracer.detach()
    return null
  } catch (error) {
    return `cannot trace here: ${error instanceof Error ? error.message : String(error)}`
  } finally {
    sleeper.kill("SIGKILL")
  }
}

const cannot = await whyNot()
if (cannot !== null) {
  console.log(cannot)
  process.exit(77)
}
console.log(`seed ${seed}`)
const complaints = await main()
for (const complaint of complaints) console.error(`✗ ${complaint}`)
process.exit(complaints.length === 0 ? 0 : 1)
