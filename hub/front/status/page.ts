// The page at /: in words, whether all is well, and what to do if not. Plain HTML made on the hub, no script, one style that
// the policy names by its hash. Whatever people named (campaigns, owners) goes through escapeHtml() and nothing else.
import { createHash } from "node:crypto"
import { type CampaignStatus, isLive, type Status } from "./gather.ts"

const style = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.8rem }
table { border-collapse: collapse; margin: .5rem 0 1.5rem }
th, td { text-align: left; padding: .2rem 1.2rem .2rem 0; font-variant-numeric: tabular-nums; vertical-align: top }
th { font-weight: 600 }
.well::before { content: "✓ " }
.needs::before { content: "! " }
progress { width: 10rem }
`

export const contentSecurityPolicy = [
  "default-src 'none'",
  `style-src 'sha256-${createHash("sha256").update(style).digest("base64")}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ")

export function page(status: Status): string {
  const well = status.needs.length === 0
  const { nodes, jobs, hub, links, bytes, database, disk, process: running } = status
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="30">
<title>${escapeHtml(status.verdict)} · clouds-at-home</title>
<style>${style}</style>
</head>
<body>
<main>
<h1 class="${well ? "well" : "needs"}">${escapeHtml(status.verdict)}</h1>
${well ? "" : `<ul>${status.needs.map(need => `<li><strong>${escapeHtml(need.what)}</strong><br>${escapeHtml(need.fix)}</li>`).join("")}</ul>`}
${table("Nodes", [
  ["online", nodes.online],
  ["away", nodes.away],
  ["drained", nodes.drained],
  ["revoked", nodes.revoked],
  ["slots busy", `${nodes.slotsBusy} of ${nodes.slots}`],
])}
${table("Jobs of live campaigns", Object.entries(jobs))}
${status.campaigns === undefined ? "" : campaigns(status.campaigns)}
${table("Bytes since the start", [
  ["in", size(bytes.in)],
  ["out", size(bytes.out)],
  ["transfers under way", links.streams],
])}
${
  database === undefined
    ? ""
    : table("Database", [
        ["open handles", database.handles],
        ["write-ahead log", size(database.walBytes)],
        ["batches waiting", database.queued],
      ])
}
${
  disk === undefined || running === undefined
    ? ""
    : table("Machine", [
        ["disk free", size(disk.freeBytes)],
        ["memory of the hub", size(running.rssBytes)],
        ["lag of its timers", `${Math.round(running.eventLoopLagSeconds * 1e3)} ms`],
      ])
}
</main>
<footer>hub ${escapeHtml(hub.id)}, version ${escapeHtml(hub.version)}, up ${duration(hub.uptimeSeconds)}</footer>
</body>
</html>
`
}

function table(title: string, rows: readonly (readonly [string, string | number])[]): string {
  const body = rows.map(
    ([name, value]) => `<tr><th scope="row">${escapeHtml(name)}</th><td>${escapeHtml(String(value))}</td></tr>`,
  )
  return `<section><h2>${escapeHtml(title)}</h2><table>${body.join("")}</table></section>`
}

function campaigns(list: readonly CampaignStatus[]): string {
  if (list.length === 0) return "<section><h2>Campaigns</h2><p>None yet.</p></section>"
  const rows = list.map(campaign => {
    const { id, name, owner, total, counts } = campaign
    const live = counts.queued + counts.held + counts.offered + counts.staging + counts.running + counts.returning
    const done = total - live
    const bar = `<progress value="${done}" max="${total}"></progress> ${done} of ${total}`
    const wrong = total - live - counts.finished
    return `<tr><td>${id}</td><td>${escapeHtml(name)}</td><td>${escapeHtml(owner)}</td><td>${bar}</td><td>${counts.running}</td><td>${wrong}</td><td>${isLive(campaign) ? "live" : "ended"}</td></tr>`
  })
  const head = ["id", "name", "owner", "ended", "running", "not finished well", "state"]
  return `<section><h2>Campaigns, newest first</h2><table><thead><tr>${head.map(each => `<th scope="col">${each}</th>`).join("")}</tr></thead><tbody>${rows.join("")}</tbody></table></section>`
}

export function escapeHtml(text: string): string {
  const names: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" }
  return text.replace(/[&<>"']/g, character => names[character] ?? "")
}

function size(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

function duration(seconds: number): string {
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3_600) % 24,
    Math.floor(seconds / 60) % 60,
  ]
  return days > 0 ? `${days} d ${hours} h` : hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min`
}
