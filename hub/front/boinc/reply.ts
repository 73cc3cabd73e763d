// The scheduler's answer, in BOINC's words. Only writes down what schedule.ts decided; each element on a line of its own.
import { createHash } from "node:crypto"
import { creditAt } from "../../core/credit.ts"
import type { CreditTotal, HostRow, LaunchRow, VolunteerRow } from "../../core/volunteers.ts"
import { LAUNCH_BOUND_S, LAUNCH_ESTIMATE_S, LAUNCH_LOG_BYTES_MAX } from "../../limits.ts"
import { inputName, logName, resultName, type Share, workunitName } from "./launch.ts"
import { globalPreferences, readPreferences } from "./preferences.ts"
import { type AppVersion, packedName, type Release, type ReleaseFile } from "./release.ts"
import type { Decision, Message } from "./schedule.ts"
import { element, nested, rawElement } from "./xml.ts"

/** What clients take for the server's version: that of a BOINC whose protocol this is. */
const SERVER_VERSION = 720
/** From 6.0 on a program and its client talk through a mapped file, which ours can do. */
const API_VERSION = "7.20.5"
const FLOPS_PER_PROCESSOR = 1e9

export interface ReplyParts {
  /** With a slash at its end, as the volunteer typed it. */
  readonly masterUrl: string
  readonly projectName: string
}

export function refusalReply(
  { projectName, masterUrl }: ReplyParts,
  messages: readonly Message[],
  delayS: number,
): string {
  return nested(
    "scheduler_reply",
    element("scheduler_version", SERVER_VERSION),
    element("master_url", masterUrl),
    element("request_delay", delayS),
    ...messages.map(messageLine),
    element("project_name", projectName),
  )
}

export interface Known {
  readonly volunteer: VolunteerRow
  /** As the client reported them. */
  readonly webPreferences: string
  readonly credit: CreditTotal
  readonly hostCredit: CreditTotal
  /** Its id is told only when it is new to this client. */
  readonly isNewHost: boolean
  /** Null: its client holds the key already. */
  readonly codeSignKey: string | null
  readonly wallMs: number
}

export interface Sent {
  readonly launch: LaunchRow
  readonly release: Release
  readonly version: AppVersion
  readonly share: Share
  readonly input: Buffer
  readonly uploadLeave: string
}

/** `sent` is there exactly when the decision is to send something. */
export function schedulerReply(parts: ReplyParts, decision: Decision, known: Known, sent: Sent | null): string {
  const { masterUrl, projectName } = parts
  const { host } = decision
  return nested(
    "scheduler_reply",
    element("scheduler_version", SERVER_VERSION),
    element("dont_use_dcf", true),
    element("master_url", masterUrl),
    element("request_delay", decision.delayS),
    element("next_rpc_delay", decision.callAfterS),
    ...decision.messages.map(messageLine),
    element("project_name", projectName),
    volunteerLines(known),
    element("hostid", known.isNewHost ? host.id : null),
    hostLines(host, known),
    links(masterUrl),
    "<project_preferences>\n<resource_share>100</resource_share>\n<project_specific>\n</project_specific>\n</project_preferences>\n",
    preferenceLines(known),
    ...decision.acknowledge.map(name => nested("result_ack", element("name", name))),
    ...decision.abort.map(name => nested("result_abort", element("name", name))),
    ...decision.finish.map(name => finishLines(name, known.wallMs)),
    element("message_ack", true),
    sent === null ? "" : sentLines(parts, decision, sent),
    known.codeSignKey === null ? "" : rawElement("code_sign_key", known.codeSignKey),
  )
}

/** Ends one that has not begun, and tells one that runs, in a file that the launcher looks for. */
function finishLines(name: string, wallMs: number): string {
  return [
    nested("result_abort_if_not_started", element("name", name)),
    nested("trickle_down", element("result_name", name), element("time", seconds(wallMs)), element("finish", true)),
  ].join("")
}

function messageLine({ priority, text }: Message): string {
  return element("message", text).replace("<message>", `<message priority="${priority}">`)
}

function volunteerLines({ volunteer, credit, wallMs }: Known): string {
  const { total, average } = creditAt(credit, wallMs)
  return [
    element("userid", volunteer.id),
    element("user_name", volunteer.name),
    element("user_total_credit", total.toFixed(6)),
    element("user_expavg_credit", average.toFixed(6)),
    element("user_create_time", seconds(volunteer.createdAt)),
    element("email_hash", md5(volunteer.email ?? "")),
    element("cross_project_id", volunteer.crossId),
    element("external_cpid", externalId(volunteer)),
  ].join("")
}

function hostLines(host: HostRow, { hostCredit, wallMs }: Known): string {
  const { total, average } = creditAt(hostCredit, wallMs)
  return [
    element("host_total_credit", total.toFixed(6)),
    element("host_expavg_credit", average.toFixed(6)),
    element("host_venue", ""),
    element("host_create_time", seconds(host.createdAt)),
    element("team_name", ""),
  ].join("")
}

/** What the volunteer chose on their page, within what else they chose elsewhere; else the computer goes by its own settings. */
function preferenceLines({ volunteer, webPreferences }: Known): string {
  const chosen = readPreferences(volunteer.preferences)
  return chosen === null ? "" : (globalPreferences(chosen, webPreferences) ?? "")
}

/** Buttons that the BOINC Manager shows beside the project. */
function links(masterUrl: string): string {
  const link = nested(
    "gui_url",
    element("name", "Your page"),
    element("description", "What your computers do here, and how to stop them"),
    element("url", `${masterUrl}volunteer`),
  )
  return nested("gui_urls", link)
}

function sentLines(parts: ReplyParts, { send }: Decision, sent: Sent): string {
  if (send?.kind === "deadline") return resultLines(sent)
  const { release, version, launch } = sent
  return [
    nested("app", element("name", release.name), element("user_friendly_name", release.title)),
    ...version.files.map(({ file }) => fileLines(parts, file)),
    appVersionLines(sent),
    nested(
      "file_info",
      element("name", inputName(launch)),
      element("url", downloadUrl(parts, inputName(launch))),
      element("md5_cksum", md5(sent.input)),
      element("nbytes", sent.input.length),
    ),
    workunitLines(sent),
    logLines(parts, sent),
    resultLines(sent),
  ].join("")
}

function downloadUrl({ masterUrl }: ReplyParts, name: string): string {
  return `${masterUrl}download/${name}`
}

function fileLines(parts: ReplyParts, file: ReleaseFile): string {
  return nested(
    "file_info",
    element("name", file.name),
    element("url", downloadUrl(parts, file.name)),
    ...(file.gzip === null
      ? []
      : [
          element("gzipped_url", downloadUrl(parts, packedName(file.name))),
          element("gzipped_nbytes", file.gzip.sizeBytes),
        ]),
    element("executable", file.executable),
    element("md5_cksum", file.md5),
    element("nbytes", file.sizeBytes),
    rawElement("file_signature", file.signature),
  )
}

function appVersionLines({ release, version, share }: Sent): string {
  return nested(
    "app_version",
    element("app_name", release.name),
    element("version_num", release.versionNumber),
    element("api_version", API_VERSION),
    element("platform", version.platform),
    element("plan_class", version.planClass),
    element("avg_ncpus", share.processors),
    element("flops", share.processors * FLOPS_PER_PROCESSOR),
    // Nice 10, and no stopping and starting every second: the launcher passes limits on to the virtual machine.
    element("is_wrapper", true),
    element("dont_throttle", true),
    ...version.files.map(({ file, openName }) => {
      const name = element("file_name", file.name)
      return nested(
        "file_ref",
        name,
        openName === null ? element("main_program", true) : element("open_name", openName),
      )
    }),
  )
}

function workunitLines({ launch, release, share }: Sent): string {
  const flops = share.processors * FLOPS_PER_PROCESSOR
  return nested(
    "workunit",
    element("name", workunitName(launch)),
    element("app_name", release.name),
    element("rsc_fpops_est", flops * LAUNCH_ESTIMATE_S),
    element("rsc_fpops_bound", flops * LAUNCH_BOUND_S),
    element("rsc_memory_bound", share.memoryBytes),
    element("rsc_disk_bound", share.diskBytes),
    nested("file_ref", element("file_name", inputName(launch)), element("open_name", "volunteer.json")),
  )
}

function logLines(parts: ReplyParts, { launch, uploadLeave }: Sent): string {
  return nested(
    "file_info",
    element("name", logName(launch)),
    element("generated_locally", true),
    element("upload_when_present", true),
    element("max_nbytes", LAUNCH_LOG_BYTES_MAX),
    element("url", `${parts.masterUrl}file_upload_handler`),
    rawElement("xml_signature", `${uploadLeave}\n.`),
  )
}

function resultLines({ launch, version }: Sent): string {
  return nested(
    "result",
    element("name", resultName(launch)),
    element("wu_name", workunitName(launch)),
    element("platform", version.platform),
    element("version_num", launch.versionNumber),
    element("plan_class", launch.planClass),
    element("report_deadline", seconds(launch.deadlineAt)),
    element("report_immediately", true),
    nested(
      "file_ref",
      element("file_name", logName(launch)),
      element("open_name", "launcher.log"),
      element("optional", true),
    ),
  )
}

export function externalId({ crossId, email }: VolunteerRow): string {
  return md5(`${crossId}${email ?? ""}`)
}

export function md5(of: string | Buffer): string {
  return createHash("md5").update(of).digest("hex")
}

export function seconds(ms: number): number {
  return Math.floor(ms / 1_000)
}
