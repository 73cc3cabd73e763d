// HTML made on the hub: text is escaped unless it was made by html`` itself, one style for all pages, and the policy that names it. No
// script anywhere, so a page is what it is at its first paint.
import { createHash } from "node:crypto"

/** Text that is HTML already. Made by html`` only. */
export class Html {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
  toString(): string {
    return this.text
  }
}

type Inside = Html | string | number | null | readonly (Html | string)[]

/** Whatever people named goes through here and is text afterwards. Null is nothing. */
export function html(parts: TemplateStringsArray, ...values: readonly Inside[]): Html {
  return new Html(parts.map((part, at) => `${at === 0 ? "" : rendered(values[at - 1] ?? null)}${part}`).join(""))
}

function rendered(value: Inside): string {
  if (value === null) return ""
  if (Array.isArray(value)) return value.map(each => rendered(each)).join("")
  return value instanceof Html ? value.text : escapeHtml(String(value))
}

export function escapeHtml(text: string): string {
  const names: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" }
  return text.replace(/[&<>"']/g, character => names[character] ?? "")
}

/** Of every page; a page may have more. */
export const baseStyle = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { background: Canvas; color: CanvasText; max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.8rem; margin: 0 }
h2 { font-size: 1.2rem; margin: 1.5rem 0 .3rem }
table { border-collapse: collapse }
th, td { text-align: left; padding: .15rem 1.2rem .15rem 0; font-variant-numeric: tabular-nums; vertical-align: top }
th { font-weight: 600; white-space: nowrap }
code { overflow-wrap: anywhere }
`

/** What a policy calls a style that stands in the page. */
export function styleHash(style: string): string {
  return `'sha256-${createHash("sha256").update(style).digest("base64")}'`
}
