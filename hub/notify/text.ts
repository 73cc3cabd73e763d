// What a notice says, in words for people.
import type { News } from "./deliver.ts"

/** One line: "campaign 12 (wing) has ended: 718 of 720 jobs finished". */
export function headline({ campaign, occasion }: News): string {
  const name = `campaign ${campaign.id}${campaign.name === "" ? "" : ` (${campaign.name})`}`
  const { counts, total } = campaign
  if (occasion === "running") return `${name} has begun`
  if (occasion === "error") return `${name} has its first job that did not end well`
  return `${name} has ended: ${counts.finished} of ${total} jobs finished`
}

export function text(news: News): string {
  const { campaign, errors, at } = news
  const { counts, id } = campaign
  const ended = (["finished", "failed", "timedout", "lost", "refused", "cancelled"] as const)
    .filter(outcome => counts[outcome] > 0)
    .map(outcome => `${counts[outcome]} ${outcome}`)
  const lines = [`${headline(news)}.`, "", `When: ${new Date(at).toISOString()}`]
  if (ended.length > 0) lines.push(`Jobs: ${campaign.total}, of which ${ended.join(", ")}`)
  if (errors.length > 0) {
    lines.push("", "The commonest errors:")
    for (const { count, outcome, exitCode, message, exampleIndex } of errors) {
      const what = message === "" ? `exit code ${exitCode}` : message
      lines.push(`  ${count} x ${outcome}, ${what} (for one ${id}.${exampleIndex})`)
    }
  }
  const next = errors[0] === undefined ? `cah get ${id}` : `cah logs ${id}.${errors[0].exampleIndex}`
  return [...lines, "", `Next: ${next}, or cah show ${id}`, ""].join("\n")
}
