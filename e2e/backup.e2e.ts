// The drill: a hub is backed up while scientists submit and an agent works, is killed, and is restored elsewhere. Nothing that was
// acknowledged before the backup began may be missing, all of it must come to its end, the agent must come back by itself,
// and what was submitted after the backup must never be mistaken for what comes later.
//   node --import tsx e2e/backup.e2e.ts
import { execFile } from "node:child_process"
import { randomUUID } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { promisify } from "node:util"
import { nodeState, startAgent } from "../harness/agents.ts"
import { type CampaignAnswer, Hub } from "../harness/hub.ts"
import { end, type Program, ready, tail } from "../harness/processes.ts"
import { root } from "../scripts/files.ts"
import { type Acknowledged, examine } from "./ledger.ts"

const BEFORE = 30
const DURING = 30
const JOBS_EACH = 2
const ALL_MAX_MS = 120_000
const LOOK_EVERY_MS = 50

const run = promisify(execFile)
const acknowledged: Acknowledged[] = []

async function submit(hub: Hub): Promise<void> {
  const key = randomUUID()
  const spec = { name: "drill", command: ["echo $CAH_JOB_ID > out.txt"], stageout: ["*.txt"], array: JOBS_EACH }
  const { campaign } = await hub.ask<{ campaign: string }>("ScientistService/Submit", { idempotencyKey: key, spec })
  acknowledged.push({ key, campaign: Number(campaign), jobs: JOBS_EACH })
}

async function main(): Promise<string[]> {
  const place = await mkdtemp(join(tmpdir(), "cah-drill-"))
  const [backups, restored] = [join(place, "backups"), join(place, "restored")]
  const programs: Program[] = []
  const cah = (...args: string[]) => run(process.execPath, args, { cwd: root, env: { ...process.env, HOME: place } })
  try {
    const where = { host: "127.0.0.1", more: ["--backups", backups] }
    const hub = await Hub.start(join(place, "hub"), join(place, "hub.log"), where)
    programs.push(hub.program)
    programs.push(await startAgent(hub, { name: "home", place, flags: ["--slots", "2"] }))
    for (let count = 0; count < BEFORE; count++) await submit(hub)
    const promised = [...acknowledged]
    const submitting = (async () => {
      for (let count = 0; count < DURING; count++) await submit(hub)
    })()
    const asks = ["--hub", hub.url, "--token-file", join(place, "hub", "admin.token")]
    const { stdout } = await cah("client/bin/cah.mjs", "admin", "backup", ...asks)
    process.stdout.write(stdout)
    await submitting
    await hub.killAtOnce()

    for (const flag of [["--verify"], []]) {
      const { stdout: said } = await cah("hub/bin/cah-hub.mjs", "restore", backups, "--data", restored, ...flag)
      process.stdout.write(said)
    }
    await cah("hub/bin/cah-hub.mjs", "admin-token", "--data", restored)
    const again = { host: "127.0.0.1", more: ["--listen", new URL(hub.url).host] }
    const second = await Hub.start(restored, join(place, "restored.log"), again)
    programs.push(second.program)
    await ready(second.program, async () => ((await nodeState(second, "home")) === "NODE_STATE_ONLINE" ? true : null))
    await submit(second)
    const latest = acknowledged.at(-1)!
    const deadlineMs = performance.now() + ALL_MAX_MS
    for (const { campaign } of [...promised, latest]) {
      for (;;) {
        const asked = { campaign: String(campaign) }
        const { campaign: now } = await second.ask<{ campaign: CampaignAnswer }>("ScientistService/GetCampaign", asked)
        if (now.endedAt !== undefined) break
        if (performance.now() > deadlineMs)
          throw new Error(`campaign ${campaign} has not ended: ${JSON.stringify(now)}`)
        await pause(LOOK_EVERY_MS)
      }
    }
    await end([second.program])
    // What ran when the backup was made, and ended before the kill, runs again: the backup does not know its result.
    const complaints = examine(restored, [...promised, latest], true, { mayRepeat: true })
    const given = new Set(acknowledged.slice(0, -1).map(one => one.campaign))
    if (given.has(latest.campaign)) complaints.push(`campaign ${latest.campaign} was given twice`)
    console.log(`${promised.length} campaigns acknowledged before the backup, ${complaints.length} complaints`)
    return complaints
  } catch (error) {
    for (const program of programs) console.error(await tail(program))
    throw error
  } finally {
    await end(programs)
    await rm(place, { recursive: true, force: true })
  }
}

const complaints = await main()
for (const complaint of complaints) console.error(`✗ ${complaint}`)
process.exit(complaints.length === 0 ? 0 : 1)
