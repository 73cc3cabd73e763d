// The scheduler RPC: a client's request in, an answer out, and everything the answer says on disk before it leaves. What is decided
// is decided in schedule.ts; this reads the rows for it, and cases/computers.ts writes those that it returns.
import type { Accounts } from "../../auth/accounts.ts"
import type { HubKey } from "../../auth/key.ts"
import type { Computers, Told } from "../../cases/computers.ts"
import { CahError } from "../../core/errors.ts"
import type { Clock, Engine, Log, StoreReader } from "../../core/ports.ts"
import { accountOf, type HostId, type HostRow, type LaunchRow, type VolunteerRow } from "../../core/volunteers.ts"
import { BOINC_MEND_DELAY_S, BOINC_NOTHING_DELAY_S, LAUNCH_LOG_BYTES_MAX } from "../../limits.ts"
import { groundFacts } from "./ground.ts"
import { logName, shareOf } from "./launch.ts"
import type { AppVersion, Release } from "./release.ts"
import { type ReplyParts, refusalReply, type Sent, schedulerReply } from "./reply.ts"
import { authenticatorOf, parseSchedulerRequest, type SchedulerRequest } from "./request.ts"
import { type Decision, decide, hostFor } from "./schedule.ts"

export interface SchedulerParts {
  readonly store: Pick<StoreReader, "volunteers">
  readonly engine: Pick<Engine, "node" | "health">
  readonly accounts: Accounts
  readonly computers: Computers
  readonly key: HubKey
  readonly release: Release | null
  readonly clock: Clock
  readonly log: Log
  readonly projectName: string
}

export type Scheduled = { readonly kind: "answered" | "wrong key"; readonly body: string }

/** `mayTry` is asked before a wrong key is answered in words. CahError invalid_argument for what is no request. */
export async function schedule(parts: SchedulerParts, text: string, masterUrl: string): Promise<Scheduled> {
  const reply: ReplyParts = { masterUrl, projectName: parts.projectName }
  const volunteer = parts.accounts.byKey(authenticatorOf(text))
  if (volunteer === null) return wrongKey(reply)
  const request = parseSchedulerRequest(text)
  try {
    // Looked up anew in its turn: they may have been forgotten meanwhile, and nothing of theirs is written after that.
    const body = await parts.computers.inTurn(volunteer.id, async () => {
      const now = parts.accounts.byId(volunteer.id)
      return now === null ? null : scheduleFor(parts, reply, now, request)
    })
    return body === null ? wrongKey(reply) : { kind: "answered", body }
  } catch (error) {
    if (!(error instanceof CahError) || error.code !== "resource_exhausted") throw error
    const message = { priority: "notice", text: error.message } as const
    return { kind: "answered", body: refusalReply(reply, [message], BOINC_NOTHING_DELAY_S) }
  }
}

function wrongKey(reply: ReplyParts): Scheduled {
  const words =
    "Invalid or missing account key: this hub does not know it. If you deleted your account there, remove the project; " +
    "else remove the project and add it again with your e-mail address and password."
  const message = { priority: "notice", text: words } as const
  return { kind: "wrong key", body: refusalReply(reply, [message], BOINC_MEND_DELAY_S) }
}

async function scheduleFor(
  parts: SchedulerParts,
  reply: ReplyParts,
  volunteer: VolunteerRow,
  request: SchedulerRequest,
): Promise<string> {
  const { store, engine, computers, release, clock, log } = parts
  const { volunteers } = store
  const nowMs = clock.wallMs()
  const known = findHost(parts, volunteer, request, nowMs)
  const before =
    known === null ? computers.newHost(volunteer.id, told(request, null)) : computers.heard(known, told(request, known))
  const launchBefore = volunteers.liveLaunch(before.id)
  const tally =
    launchBefore === null ? { node: null, bytesIn: 0, bytesOut: 0 } : volunteers.launchTally(launchBefore.id)
  const node = tally.node === null ? null : engine.node(tally.node)
  const decision = decide(request, {
    volunteer,
    host: before,
    launch: launchBefore,
    tally,
    node: node === null ? null : { revoked: node.revoked, drained: node.drained, isIdle: node.held.size === 0 },
    last: lastEnded(parts, before.id),
    hasWork: engine.health().counts.queued > 0,
    release,
    nowMs,
    random: Math.random(),
  })

  const made = makeLaunch(parts, volunteer, decision, reply)
  if (await computers.settle({ ...decision, launchBefore, made })) {
    const { id, host, ending, exitStatus, stopping } = decision.launch!
    log.info({ launch: id, host, ending, exitStatus, stopping }, "a launch on a volunteer's computer ends")
  }
  if (made !== null)
    log.info({ launch: made.launch.id, host: before.id, planClass: made.launch.planClass }, "a launch was made")

  const owner = await adoptCrossId(parts, volunteer, request)
  const sent = sentOf(parts, request, decision, made?.launch ?? decision.launch)
  return schedulerReply(
    reply,
    decision,
    {
      volunteer: owner,
      webPreferences: request.webPreferences,
      credit: volunteers.credit(accountOf(volunteer.id)),
      hostCredit: volunteers.hostCredit(before.id),
      isNewHost: before.id !== request.hostId,
      codeSignKey: request.codeSignKey === "" && release !== null ? release.codeSignKey : null,
      wallMs: nowMs,
    },
    sent,
  )
}

/** In the hub's words. A client that is told another id than its own counts from 0 again. */
function told(request: SchedulerRequest, known: HostRow | null): Told {
  const { hostId, clientStarted } = request
  const { cpid, name, facts } = request.host
  const ground = groundFacts(known?.facts ?? {}, request)
  const sequence = known?.id === hostId ? request.sequence : 0
  return { cpid, name, facts: { ...facts, ...ground }, sequence, clientStarted }
}

function lastEnded({ store }: SchedulerParts, host: HostId): LaunchRow | null {
  return store.volunteers.launchesOf(host, 2).find(launch => launch.endedAt !== null) ?? null
}

function findHost(
  { store }: SchedulerParts,
  volunteer: VolunteerRow,
  request: SchedulerRequest,
  nowMs: number,
): HostRow | null {
  const { volunteers } = store
  const among = (hosts: HostRow[]) => {
    const known = hosts.map(host => ({ host, isWorking: volunteers.liveLaunch(host.id) !== null }))
    return hostFor(request, known, nowMs)
  }
  const named = volunteers.host(request.hostId as HostId)
  // Nearly always it is the one that it says, and the others need not be looked at.
  const itself = named?.volunteer === volunteer.id && named.mergedInto === null ? among([named]) : null
  return itself ?? among(volunteers.hostsOf(volunteer.id))
}

function makeLaunch(
  { computers, release }: SchedulerParts,
  volunteer: VolunteerRow,
  decision: Decision,
  reply: ReplyParts,
) {
  if (decision.send?.kind !== "new" || release === null) return null
  const { versionNumber } = release
  const { planClass } = decision.send.version
  const hubUrl = reply.masterUrl.replace(/\/$/, "")
  return computers.newLaunch(volunteer.id, decision.host.id, { planClass, versionNumber, hubUrl })
}

function sentOf(
  { computers, key, release }: SchedulerParts,
  request: SchedulerRequest,
  { send }: Decision,
  launch: Sent["launch"] | null,
): Sent | null {
  if (send === null || launch === null || release === null) return null
  return {
    launch,
    release,
    version: send.kind === "new" ? send.version : versionOf(release, request, launch.planClass),
    share: shareOf(request, release.minMemoryBytes),
    input: computers.inputOf(launch),
    uploadLeave: key.uploadLeave(logName(launch), LAUNCH_LOG_BYTES_MAX),
  }
}

/** Of a launch that is sent once more. Of one of an earlier release only its name and platform matter. */
function versionOf({ appVersions }: Release, { platforms }: SchedulerRequest, planClass: string): AppVersion {
  const found = appVersions.find(version => version.planClass === planClass && platforms.includes(version.platform))
  return found ?? { platform: platforms[0] ?? "", planClass, files: [] }
}

/** One person, one id at all projects: the client knows the oldest, and tells it to each. */
async function adoptCrossId({ accounts }: SchedulerParts, volunteer: VolunteerRow, { crossId }: SchedulerRequest) {
  if (!/^[0-9a-f]{32}$/.test(crossId) || crossId === volunteer.crossId) return volunteer
  return accounts.change(volunteer.id, () => ({ crossId }))
}
