// Writes about volunteers as steps of the writer: see encode.ts, of which this is a part. The ledger's hash is made by a function
// that the writer gives to SQLite, from the line before as it is in this very transaction.
import { toAverage } from "../../core/credit.ts"
import type { HostRow, LaunchRow, VolunteerRow, VolunteerWrite } from "../../core/volunteers.ts"
import { insert, own, replaced, type Value } from "./statement.ts"

/** SQL functions of the writer's handle, by which the statements below count. */
export const CHAINED = "cah_chained"
export const FADED = "cah_faded"

const volunteerColumns = "email, name, salt, password, key_hash, sealed_key, cross_id, session, shown, preferences"
const hostColumns =
  "cpid, sequence, client_started, name, title, facts, stopped, removed, merged_into, barred, failures, not_before, heard_at"
const launchColumns = "draining, stopping, ending, exit_status, message, deadline_at, ended_at"

/** Adds a line to a row of sums; the hole is the line's own share of the average. */
const added = (row: string) => `slot_ms = ${row}slot_ms + excluded.slot_ms, results = ${row}results + 1,
  average = ${FADED}(${row}average, excluded.average_at - ${row}average_at) + excluded.average,
  average_at = max(${row}average_at, excluded.average_at)`

export const volunteerStatements = {
  volunteer: insert(
    "volunteers",
    `id, ${volunteerColumns}, created_at, forgotten_at`,
    replaced("id", `${volunteerColumns}, forgotten_at`),
  ),
  host: insert("hosts", `id, volunteer, created_at, ${hostColumns}`, replaced("id", hostColumns)),
  launch: insert(
    "launches",
    `id, host, secret_name, plan_class, version_number, enrolment, hub_url, made_at, ${launchColumns}`,
    replaced("id", launchColumns),
  ),
  launchNode: "UPDATE launches SET node = ? WHERE id = ?",
  traffic: "UPDATE launches SET bytes_in = bytes_in + ?, bytes_out = bytes_out + ? WHERE node = ?",
  credit: `
    WITH line (campaign, idx, attempt, account, node, slot_ms, at) AS (VALUES (?, ?, ?, ?, ?, ?, ?)),
         last (sequence, hash) AS (SELECT sequence, hash FROM credit ORDER BY sequence DESC LIMIT 1)
    INSERT INTO credit (campaign, idx, attempt, account, node, slot_ms, at, sequence, hash)
    SELECT line.*, coalesce(last.sequence, 0) + 1,
           ${CHAINED}(last.hash, campaign, idx, attempt, account, node, slot_ms, at)
    FROM line LEFT JOIN last`,
  accountCredit: `
    INSERT INTO credit_totals (account, slot_ms, results, average, average_at) VALUES (?, ?, 1, ?, ?)
    ON CONFLICT (account) DO UPDATE SET ${added("credit_totals.")}`,
  hostCredit: `
    WITH excluded (node, slot_ms, average, average_at) AS (VALUES (?, ?, ?, ?))
    UPDATE hosts SET ${added("hosts.")}
    FROM excluded WHERE hosts.id = (SELECT host FROM launches WHERE launches.node = excluded.node)`,
} as const

type VolunteerStep = readonly [statement: keyof typeof volunteerStatements, values: readonly Value[]]

export function encodeVolunteer(write: VolunteerWrite): VolunteerStep[] {
  switch (write.kind) {
    case "volunteer":
      return [["volunteer", volunteerValues(write.row)]]
    case "host":
      return [["host", hostValues(write.row)]]
    case "launch":
      return [["launch", launchValues(write.row)]]
    case "launchNode":
      return [["launchNode", [write.node, write.launch]]]
    case "traffic":
      return [["traffic", [write.bytesIn, write.bytesOut, write.node]]]
    case "credit": {
      const { campaign, index, attempt, account, node, slotMs, at } = write.row
      return [
        ["credit", [campaign, index, attempt, account, node, slotMs, at]],
        ["accountCredit", [account, slotMs, toAverage(slotMs), at]],
        ["hostCredit", [node, slotMs, toAverage(slotMs), at]],
      ]
    }
    default:
      write satisfies never
      throw new Error(`no such write: ${JSON.stringify(write)}`)
  }
}

function volunteerValues(row: VolunteerRow): Value[] {
  return [
    row.id,
    row.email,
    row.name,
    own(row.salt),
    own(row.password),
    own(row.keyHash),
    own(row.sealedKey),
    row.crossId,
    row.session,
    row.shown ? 1 : 0,
    row.preferences,
    row.createdAt,
    row.forgottenAt,
  ]
}

function hostValues(row: HostRow): Value[] {
  return [
    row.id,
    row.volunteer,
    row.createdAt,
    row.cpid,
    row.sequence,
    row.clientStarted,
    row.name,
    row.title,
    JSON.stringify(row.facts),
    row.stopped ? 1 : 0,
    row.removed ? 1 : 0,
    row.mergedInto,
    row.barred ? 1 : 0,
    row.failures,
    row.notBefore,
    row.heardAt,
  ]
}

function launchValues(row: LaunchRow): Value[] {
  return [
    row.id,
    row.host,
    row.secretName,
    row.planClass,
    row.versionNumber,
    row.enrolment,
    row.hubUrl,
    row.madeAt,
    row.draining,
    row.stopping,
    row.ending,
    row.exitStatus,
    row.message,
    row.deadlineAt,
    row.endedAt,
  ]
}
