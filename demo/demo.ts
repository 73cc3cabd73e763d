// The thesis's campaign in small, on this machine: a hub and three agents as separate processes, a scene sent once, one job a frame,
// a video at the end. `npm run demo -- --help` says what can be changed; `--kill-hub 3` kills the hub while it runs.
// Exits with 0 only if every frame came back exactly once and nothing was lost. Leaves nothing running.
import { mkdir, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { type CampaignAnswer, Hub } from "../harness/hub.ts"
import { end, type Program, ready, runToEnd, start, tail } from "../harness/processes.ts"
import { wallFlags } from "../harness/walls.ts"
import { checkFrames } from "./frames.ts"
import { type Options, parseOptions, UsageError, usage } from "./options.ts"
import { chooseRenderer, VIDEO, videoCommand } from "./renderers.ts"
import { RenderWatch } from "./renders.ts"
import { type Report, report, table } from "./report.ts"

/** How long a killed hub stays away: long enough for jobs to end meanwhile, so that agents have results nobody takes. */
const HUB_AWAY_MS = 1_500
const PROGRESS_EVERY_MS = 200
/** Without a job ending in this time something hangs: the largest frame of the thesis took minutes, not this. */
const STANDSTILL_MAX_MS = 10 * 60_000

async function demo(options: Options, say: (line: string) => void): Promise<Report> {
  const place = await mkdtemp(join(tmpdir(), "cah-demo-"))
  const out = resolve(options.out)
  const programs: Program[] = []
  let hub: Hub | null = null
  const stop = new AbortController()
  const interrupt = (): void => stop.abort(new Error("interrupted"))
  process.once("SIGINT", interrupt).once("SIGTERM", interrupt)
  try {
    const renderer = chooseRenderer(options, process.pid, say)
    await mkdir(join(place, "logs"))
    hub = await Hub.start(join(place, "hub"), join(place, "logs/hub.log"))
    const handlesAtStart = (await hub.metrics()).get("cah_db_handles") ?? 0
    say(`hub ready at ${hub.url}`)

    const { secret } = await hub.ask<{ secret: string }>("OperatorService/CreateEnrolment", {
      account: "demo",
      uses: options.agents,
    })
    const walls = await wallFlags(place, say)
    for (let n = 1; n <= options.agents; n++) {
      const args = [
        "agent/bin/cah-agent.mjs",
        "--hub",
        hub.url,
        "--enroll",
        secret,
        "--state",
        join(place, `agent-${n}`),
        ...walls,
      ]
      const name = `home-${n}`
      programs.push(
        start(name, [...args, "--name", name, "--slots", String(options.slots)], {}, join(place, `logs/${name}.log`)),
      )
    }
    for (const program of programs)
      await ready(program, async () => ((await onlineNodes(hub)).includes(program.name) ? true : null))
    say(`${options.agents} agents online, ${options.slots} ${options.slots === 1 ? "slot" : "slots"} each`)

    const watch = new RenderWatch(renderer)
    const scientist = {
      CAH_HUB: hub.url,
      CAH_TOKEN: hub.token,
      XDG_CONFIG_HOME: join(place, "config"),
      XDG_STATE_HOME: join(place, "state"),
      XDG_CACHE_HOME: join(place, "cache"),
    }
    const cah = (...args: string[]): Promise<string> => runToEnd(["client/bin/cah.mjs", ...args], scientist)
    const array = ["--array", String(options.frames), "--stagein", renderer.stagein, "--stageout", "*.png"]
    const told = await cah("sub", "-o", "quiet", "-n", "clouds", "--walltime", "1h", ...array, "--", renderer.command)
    const campaign = told.trim()
    say(`campaign ${campaign}: ${options.frames} frames of ${options.width}x${options.height} by ${renderer.name}`)

    await carryThrough(hub, campaign, options, say, stop.signal)
    const { renders, frames } = await watch.stop()
    await cah("wait", campaign)
    await rm(join(out, "frames"), { recursive: true, force: true })
    await cah("get", campaign, "-d", join(place, "fetched"))

    // Before the video's job fetches the frames, which were nobody's stagein until then.
    const totals = await hub.finalTotals()
    const joining = videoCommand(options, say)
    if (joining !== null) {
      const gather = ["--gather", campaign, "--stageout", VIDEO, "--walltime", "1h"]
      const video = (await cah("sub", "-o", "quiet", "-n", "video", ...gather, "--", joining)).trim()
      say(`campaign ${video}: the video, from what campaign ${campaign} gave back`)
      await cah("wait", video)
      await cah("get", video, "-d", out)
    }

    const check = await checkFrames(join(place, "fetched"), join(out, "frames"), options)
    const { campaign: done } = await hub.ask<{
      campaign: CampaignAnswer & { spec?: { stagein?: { sizeBytes?: string } } }
    }>("ScientistService/GetCampaign", { campaign })
    return report(
      {
        renderer: renderer.name,
        jobs: await hub.jobs(campaign),
        check,
        makespanSeconds: (Date.parse(done.endedAt ?? "") - Date.parse(done.submittedAt ?? "")) / 1000,
        stageinBytes: Number(done.spec?.stagein?.sizeBytes ?? 0),
        dbHandles: { atStart: handlesAtStart, atEnd: (await hub.metrics()).get("cah_db_handles") ?? 0 },
        totals,
        nodes: (await onlineNodes(hub)).length,
        renders: { renders, frames },
        kills: options.kills,
        video: joining === null ? null : join(out, VIDEO),
      },
      options,
    )
  } catch (error) {
    for (const program of [...(hub === null ? [] : [hub.program]), ...programs]) say(await tail(program))
    throw error
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt)
    const stubborn = [...(await end(programs)), ...(hub === null ? [] : await end([hub.program]))]
    for (const name of stubborn) say(`${name} did not end when asked and was killed`)
    if (options.keep) say(`data and logs are kept in ${place}`)
    else await rm(place, { recursive: true, force: true })
  }
}

async function onlineNodes(hub: Hub | null): Promise<string[]> {
  const { nodes } =
    (await hub?.ask<{ nodes?: { name: string; state: string }[] }>("ScientistService/ListNodes", { limit: 100 })) ?? {}
  return (nodes ?? []).filter(node => node.state === "NODE_STATE_ONLINE").map(node => node.name)
}

/** Until the campaign has ended; kills the hub on the way when so many frames are done that the kills are spread evenly. */
async function carryThrough(
  hub: Hub,
  campaign: string,
  options: Options,
  say: (line: string) => void,
  stop: AbortSignal,
) {
  let [killed, lastDone, lastChangeMs] = [0, -1, performance.now()]
  for (;;) {
    const { campaign: now } = await hub.ask<{ campaign: CampaignAnswer }>("ScientistService/GetCampaign", { campaign })
    const counts = now.counts ?? {}
    const done = ["finished", "failed", "timedout", "lost", "cancelled"].reduce(
      (sum, name) => sum + (counts[name] ?? 0),
      0,
    )
    if (done !== lastDone) {
      ;[lastDone, lastChangeMs] = [done, performance.now()]
      say(`${done} of ${options.frames} frames, ${counts.running ?? 0} running`)
    }
    if (killed < options.kills && done >= Math.round(((killed + 1) * options.frames) / (options.kills + 1))) {
      killed += 1
      await hub.kill()
      say(`hub killed with SIGKILL (${killed} of ${options.kills}), away for ${HUB_AWAY_MS / 1000} s`)
      await pause(HUB_AWAY_MS, undefined, { signal: stop })
      await hub.startAgain()
      say("hub back on the same port and data")
      continue
    }
    if (now.endedAt !== undefined) {
      if (killed < options.kills)
        throw new Error(`the campaign ended after ${killed} of ${options.kills} kills: ask for more frames`)
      return
    }
    if (performance.now() - lastChangeMs > STANDSTILL_MAX_MS) throw new Error("no frame was finished for ten minutes")
    await pause(PROGRESS_EVERY_MS, undefined, { signal: stop })
  }
}

try {
  const options = parseOptions(process.argv.slice(2))
  if (options === "help") console.log(usage)
  else {
    // With --json, stdout is for the object alone.
    const say = (line: string): void => {
      const seconds = (performance.now() / 1000).toFixed(1).padStart(6)
      const timed = /^\s/.test(line) ? line : `${seconds} s  ${line}`
      if (options.json) console.error(timed)
      else console.log(timed)
    }
    const found = await demo(options, say)
    say(`\n${table(found, options)}`)
    for (const complaint of found.complaints) say(`  ✗ ${complaint}`)
    if (options.json) console.log(JSON.stringify(found))
    process.exitCode = found.complaints.length === 0 ? 0 : 1
  }
} catch (error) {
  const usageError = error instanceof UsageError
  console.error(
    usageError ? `${error.message}\n${usage}` : `✗ ${error instanceof Error ? error.message : String(error)}`,
  )
  process.exitCode = usageError ? 2 : 1
}
