// The page at /: in words, whether all is well, and what to do if not. Plain HTML made on the hub, no script, one style that
// the policy names by its hash. Whatever people named (campaigns, owners) goes through escapeHtml() and nothing else.

import type { OwnerWork } from "../../core/asking/outlook.ts"
import { liveCount } from "../../core/change.ts"
import { baseStyle, escapeHtml, styleHash } from "../html.ts"
import { count, duration, number, size } from "../text.ts"
import type { CampaignStatus, Status } from "./gather.ts"

const style = `${baseStyle}
header p, footer { opacity: .75 }
.facts { display: flex; flex-wrap: wrap; gap: 0 3.5rem }
.wide { overflow-x: auto }
.facts th { font-weight: 400 }
.name { overflow-wrap: anywhere; min-width: 8rem }
.whole { white-space: nowrap }
.well::before { content: "✓ " }
.needs::before { content: "! " }
progress { width: 10rem }
footer { margin-top: 2rem; font-size: .85rem }
`

export const contentSecurityPolicy = [
  "default-src 'none'",
  `style-src ${styleHash(style)}`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ")

/** By `scheduler` BOINC clients find where to ask; null while there is nothing for volunteers. */
export function page(status: Status, { scheduler }: { readonly scheduler: string | null }): string {
  const well = status.needs.length === 0
  const { nodes, hub, links, bytes, database, disk, process: running } = status
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="30">
<title>${escapeHtml(status.verdict)} · clouds-at-home</title>
${scheduler === null ? "" : `<link rel="boinc_scheduler" href="${escapeHtml(scheduler)}">`}
<style>${style}</style>
</head>
<body>
<header>
<p>clouds-at-home</p>
<h1 class="${well ? "well" : "needs"}">${escapeHtml(status.verdict)}</h1>
${well ? "" : `<ul>${status.needs.map(need => `<li><strong>${escapeHtml(need.what)}</strong><br>${escapeHtml(need.fix)}</li>`).join("")}</ul>`}
<p>${escapeHtml(summary(status))}</p>
</header>
<main>
${status.campaigns === undefined ? "" : campaigns(status.campaigns)}
${status.owners === undefined ? "" : owners(status.owners)}
<div class="facts">
${facts("Nodes", [
  ["online", nodes.online],
  ["away", nodes.away],
  ["drained", nodes.drained],
  ...(nodes.quarantined === 0 ? [] : [["in quarantine", nodes.quarantined] as const]),
  ["revoked", nodes.revoked],
  ["slots busy", `${number(nodes.slotsBusy)} of ${number(nodes.slots)}`],
  ...(nodes.slotsElsewhere === 0
    ? []
    : ([["held on nodes that are away or drained", nodes.slotsElsewhere]] as [string, number][])),
])}
${facts("Jobs of campaigns under way", jobsInWords(status))}
${facts("Bytes since the start", [
  ["in", size(bytes.in)],
  ["out", size(bytes.out)],
  ["transfers under way", links.streams],
])}
${
  database === undefined
    ? ""
    : facts("Database", [
        ["open handles", database.handles],
        ["write-ahead log", size(database.walBytes)],
        ["batches waiting", database.queued],
      ])
}
${
  disk === undefined || running === undefined
    ? ""
    : facts("The hub's machine", [
        ["disk free", size(disk.freeBytes)],
        ["memory of the hub", size(running.rssBytes)],
        ["lag of its timers", `${Math.round(running.eventLoopLagSeconds * 1e3)} ms`],
      ])
}
${status.certificate === null ? "" : facts("TLS", [["certificate valid until", status.certificate.validUntil.slice(0, 10)]])}
</div>
</main>
<footer>hub ${escapeHtml(hub.id)}, version ${escapeHtml(hub.version)}, up ${duration(hub.uptimeSeconds)}. This page loads itself anew every 30 s; for programs: <a href="/api/v1/status">/api/v1/status</a>, <a href="/metrics">/metrics</a>. For volunteers: <a href="/volunteer">their page</a>.</footer>
</body>
</html>
`
}

/** The state of things in one or two sentences, also when there is nothing yet. */
function summary({ nodes, jobs, liveCampaigns, agentCommand }: Status): string {
  const known = nodes.online + nodes.away + nodes.drained + nodes.quarantined + nodes.revoked
  const here =
    known === 0
      ? `No node has joined yet. Start one: ${agentCommand} (the hub prints this with a fresh token at each start).`
      : `${count(nodes.online, "node")} online with ${count(nodes.slots, "slot")}, ${number(nodes.slotsBusy)} of them busy.`
  if (liveCampaigns === 0) return `${here} ${known === 0 ? "" : "No work is under way."}`.trim()
  const active = jobs.offered + jobs.staging + jobs.running + jobs.returning
  return `${here} ${count(liveCampaigns, "campaign")} under way: ${count(active, "job")} on nodes, ${number(jobs.queued + jobs.held)} waiting or held.`
}

/** Only what there is any of: ten zeros would hide the one number that matters. */
function jobsInWords({ jobs }: Status): [string, number][] {
  return Object.entries(jobs).filter(([, jobsSo]) => jobsSo > 0)
}

function facts(title: string, rows: readonly (readonly [string, string | number])[]): string {
  const body = rows.map(
    ([name, value]) =>
      `<tr><th scope="row">${escapeHtml(name)}</th><td>${escapeHtml(typeof value === "number" ? number(value) : value)}</td></tr>`,
  )
  const content = rows.length === 0 ? "<p>None.</p>" : `<table>${body.join("")}</table>`
  return `<section><h2>${escapeHtml(title)}</h2>${content}</section>`
}

function campaigns(list: readonly CampaignStatus[]): string {
  if (list.length === 0) {
    const example = "cah sub --array 3 --wait 'echo hello from job $CAH_ARRAY_INDEX'"
    return `<section><h2>Campaigns</h2><p>None yet. Submit one: <code>${escapeHtml(example)}</code></p></section>`
  }
  const rows = list.map(campaign => {
    const { id, name, owner, total, counts } = campaign
    const done = total - liveCount(counts)
    const bar = `<progress value="${done}" max="${total}" aria-label="jobs ended"></progress> ${number(done)} of ${number(total)}`
    const wrong = done - counts.finished
    return `<tr><td>${id}</td><td class="name">${escapeHtml(name === "" ? "–" : name)}</td><td class="name">${escapeHtml(owner)}</td><td>${stateOf(campaign)}</td><td class="whole">${bar}</td><td>${number(counts.running)}</td><td>${number(wrong)}</td></tr>`
  })
  const titles = ["ID", "Name", "Owner", "State", "Jobs ended", "Running", "Not finished well"]
  return `<section><h2>Campaigns, newest first</h2><div class="wide"><table><thead><tr>${head(titles)}</tr></thead><tbody>${rows.join("")}</tbody></table></div></section>`
}

/** Who has how much under way: one who has ten million jobs waiting is found here. */
function owners(list: readonly OwnerWork[]): string {
  if (list.length === 0) return ""
  const rows = list.map(one => {
    const cells = [one.campaigns, one.onNodes, one.waiting, one.held].map(cell => `<td>${number(cell)}</td>`)
    return `<tr><td class="name">${escapeHtml(one.owner)}</td>${cells.join("")}<td>${duration(one.usedCoreSeconds)}</td></tr>`
  })
  return `<section><h2>Owners with work under way</h2><div class="wide"><table><thead><tr>${head(["Owner", "Campaigns", "On nodes", "Waiting", "Held", "Core time used"])}</tr></thead><tbody>${rows.join("")}</tbody></table></div></section>`
}

function head(titles: readonly string[]): string {
  return titles.map(each => `<th scope="col">${each}</th>`).join("")
}

/** The words that `cah ls` uses. */
function stateOf({ total, held, counts }: CampaignStatus): string {
  const live = liveCount(counts)
  if (live > 0) {
    if (held && live === counts.queued + counts.held) return "held"
    if (counts.queued + counts.held < total) return "running"
    return counts.held === total ? "held" : "queued"
  }
  if (counts.finished === total) return "finished"
  return counts.cancelled === total - counts.finished ? "cancelled" : "failed"
}
