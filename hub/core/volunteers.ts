// Volunteers as the store keeps them: who they are, their computers, what was handed to each computer, and the ledger of
// credit. Plain rows; no decision about jobs depends on them. BOINC's own words for these things end in hub/front/boinc.
import type { CampaignId, HostId, NodeId } from "./model.ts"

export type VolunteerId = number & { readonly brand: "VolunteerId" }
export type { HostId }
export type LaunchId = number & { readonly brand: "LaunchId" }

/** The account of a volunteer's nodes: what the ledger of credit names. Holds no more of the person than a number. */
export function accountOf(volunteer: VolunteerId): string {
  return `volunteer:${volunteer}`
}

export function isVolunteerAccount(account: string): boolean {
  return account.startsWith("volunteer:")
}

export interface VolunteerRow {
  id: VolunteerId
  /** Lower case. Null: the volunteer asked to be forgotten. */
  email: string | null
  /** What others may be shown, if `shown`. */
  name: string
  /** Of the password's scrypt; nothing of a forgotten account opens any more. */
  salt: Uint8Array
  password: Uint8Array
  /** SHA-256 of the account key. */
  keyHash: Uint8Array
  /** The account key, encrypted under the password: a new computer asks for it with that. */
  sealedKey: Uint8Array
  /** 32 hex characters, the same at every project of one person: statistics sites add up by it. */
  crossId: string
  /** Raised to end all sessions on the web. */
  session: number
  /** Agreed to be named in public statistics. */
  shown: boolean
  /** When, how much processor, memory and network: as JSON, kept for the page. Null: left to each computer. */
  preferences: string | null
  /** Wall times, ms. */
  createdAt: number
  forgottenAt: number | null
}

export interface HostRow {
  id: HostId
  volunteer: VolunteerId
  /** The client's own id of the computer, 32 hex characters. */
  cpid: string
  /** Number of the last request that was heard: a lower one comes from a copy of the client's directory. */
  sequence: number
  /** When the client that called last was started, by its own clock, s; 0: it did not say. An earlier one is a copy that runs as well. */
  clientStarted: number
  /** The computer's name, for its volunteer only; and the volunteer's own name for it, "" for none. */
  name: string
  title: string
  /** What the client says of the machine, as a JSON object of strings: for people and statistics. */
  facts: Record<string, string>
  /** The volunteer pressed stop: nothing is handed to it until they press start. */
  stopped: boolean
  /** Off its volunteer's list, until it calls again. */
  removed: boolean
  /** Its volunteer said that it is the same computer as that one. Never one that is merged itself. */
  mergedInto: HostId | null
  /** The operator revoked its node: nothing is handed to it any more. */
  barred: boolean
  /** Launches in a row that ended in an error. */
  failures: number
  /** Wall times, ms. Nothing new is handed to it before `notBefore`. */
  notBefore: number
  createdAt: number
  heardAt: number
}

export type LaunchEnding =
  /** The program ended as the hub wished. */
  | "finished"
  | "failed"
  /** By the volunteer in the BOINC client, or by the hub. */
  | "aborted"
  /** The client no longer knows it, or the time for it is over. */
  | "lost"

/** One time that a computer was given the virtual machine to run. */
export interface LaunchRow {
  id: LaunchId
  host: HostId
  /** 32 random hex characters in the name of its input file, which nobody else can guess. */
  secretName: string
  /** Which kind of hypervisor it is for, and which version of the release. */
  planClass: string
  versionNumber: number
  /** The enrolment that it carries, and the URL by which its computer knows the hub. */
  enrolment: string
  hubUrl: string
  /** Why its node takes no further jobs, at the hub's own wish: for people. Null: it does. */
  draining: string | null
  /** Why the hub wants it ended: for people. Null: it goes on. */
  stopping: string | null
  ending: LaunchEnding | null
  exitStatus: number | null
  /** The end of what the program said: strangers' text. */
  message: string
  /** Wall times, ms. */
  madeAt: number
  deadlineAt: number
  endedAt: number | null
}

/** What was counted by the hub of a launch. */
export interface LaunchTally {
  /** The node that enrolled with it. */
  node: NodeId | null
  bytesIn: number
  bytesOut: number
}

/** One line of the ledger. The store links it to the line before by a hash. */
export interface CreditRow {
  campaign: CampaignId
  index: number
  attempt: number
  account: string
  node: NodeId
  /** Slots times milliseconds of the accepted attempt, by the hub's clock. */
  slotMs: number
  /** Wall time, ms. */
  at: number
}

export interface LedgerLine extends CreditRow {
  /** From 1, without gaps. */
  sequence: number
  /** SHA-256 over the hash before and this line: chain.ts of the store says exactly what. */
  hash: Uint8Array
}

/** Sums of an account's lines, or of a computer's. */
export interface CreditTotal {
  slotMs: number
  results: number
  /** Credit a day, fading, as it was at `averageAt` (wall time, ms). */
  average: number
  averageAt: number
}

export type VolunteerWrite =
  /** Inserted or replaced whole. */
  | { kind: "volunteer"; row: VolunteerRow }
  /** Inserted or replaced, but for its credit. */
  | { kind: "host"; row: HostRow }
  /** Inserted or replaced, but for what was counted of it. */
  | { kind: "launch"; row: LaunchRow }
  | { kind: "launchNode"; launch: LaunchId; node: NodeId }
  /** Bytes moved since the last time, added to the launch whose node it is; of other nodes nothing is kept. */
  | { kind: "traffic"; node: NodeId; bytesIn: number; bytesOut: number }
  /** Appended, never changed; a second line for the same attempt and account is our own bug and throws. */
  | { kind: "credit"; row: CreditRow }

/** Pages hold at most `limit` rows, by id, from the first after `after`. */
export interface VolunteerReader {
  /** Highest ids ever given, 0 if none. */
  lastIds(): { volunteer: number; host: number; launch: number }
  volunteer(id: VolunteerId): VolunteerRow | null
  byEmail(email: string): VolunteerRow | null
  byKey(keyHash: Uint8Array): VolunteerRow | null
  volunteers(after: number, limit: number): VolunteerRow[]
  host(id: HostId): HostRow | null
  /** By id, the oldest first. */
  hostsOf(volunteer: VolunteerId): HostRow[]
  hosts(after: number, limit: number): HostRow[]
  launch(id: LaunchId): LaunchRow | null
  launchTally(id: LaunchId): LaunchTally
  /** The one that has not ended. */
  liveLaunch(host: HostId): LaunchRow | null
  /** Newest first. */
  launchesOf(host: HostId, limit: number): LaunchRow[]
  /** Sums over all launches of the host. */
  trafficOf(host: HostId): { bytesIn: number; bytesOut: number }
  credit(account: string): CreditTotal
  hostCredit(host: HostId): CreditTotal
  /** Of all accounts together. */
  creditSum(): { slotMs: number; results: number }
  ledger(after: number, limit: number): LedgerLine[]
}
