// How pages for volunteers look: the same as the operator's, with forms and buttons. Works without script, by keyboard, in the
// light and in the dark; colour is never the only sign of anything.
import { baseStyle, escapeHtml, Html, html, styleHash } from "./html.ts"

const style = `${baseStyle}
body { max-width: 46rem }
.lead { font-size: 1.15rem }
.picture { display: block; width: 100%; height: auto; margin: 1rem 0 }
dt { font-weight: 600; margin-top: .6rem }
dd { margin: .1rem 0 0 1rem }
.aside { margin-top: 2.5rem; opacity: .8; font-size: .9rem }
.steps li { margin: .3rem 0 }
section { margin-top: 2rem }
.computer { border: 1px solid; border-radius: .5rem; padding: .2rem 1rem 1rem; margin: 1rem 0 }
.computer table { margin-top: .8rem }
.jobs { padding-left: 1.2rem; margin: .3rem 0; font-size: .95rem }
summary { cursor: pointer; padding: .6rem 0 }
.says { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .9rem; border-left: 3px solid; padding-left: .7rem }
.notice { border: 2px solid; border-radius: .5rem; padding: .5rem 1rem; font-weight: 600 }
.notice::before { content: "✓ " }
.notice.wrong::before { content: "! " }
label { display: block; margin: .6rem 0 .1rem }
label.inline { display: inline-block; margin: .2rem 0 }
input, select { font: inherit; padding: .4rem .5rem; max-width: 100%; box-sizing: border-box }
input:not([type=checkbox]):not([type=radio]) { width: 24rem }
button, .button { font: inherit; font-weight: 600; padding: .5rem 1.2rem; min-height: 2.75rem; border: 2px solid; border-radius: .5rem;
  background: Canvas; color: CanvasText; cursor: pointer; text-decoration: none; display: inline-block; box-sizing: border-box }
button.stop { background: #b00020; border-color: #b00020; color: #fff }
:focus-visible { outline: 3px solid Highlight; outline-offset: 2px }
fieldset { border: 0; padding: 0; margin: 1rem 0 0; min-width: 0 }
legend { font-weight: 600; padding: 0 }
nav { display: flex; justify-content: space-between; gap: 1rem; flex-wrap: wrap }
`

/** Nothing but what stands in the page, and forms that go to this hub and say where they come from. `script`: the one that may run. */
export function headersWith(script: string | null): { readonly [header: string]: string } {
  return {
    "Content-Security-Policy": [
      "default-src 'self'",
      `style-src ${styleHash(style)}`,
      `script-src ${script === null ? "'none'" : styleHash(script)}`,
      "base-uri 'none'",
      "form-action 'self'",
      "frame-ancestors 'none'",
    ].join("; "),
    "Referrer-Policy": "same-origin",
  }
}
export const pageHeaders = headersWith(null)

export interface PageParts {
  readonly title: string
  readonly head?: Html | null
  /** Goes with headersWith() it. */
  readonly script?: string | null
  readonly body: Html
}

export function page({ title, head = null, script = null, body }: PageParts): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
${head?.text ?? ""}
<style>${style}</style>
</head>
<body>
<main>
${body.text}
</main>
${script === null ? "" : `<script>${script}</script>\n`}</body>
</html>
`
}

/** One line about what was just done, or why not; read out by screen readers when the page comes. */
export function notice(text: string, isWrong = false): Html {
  const kind = isWrong ? new Html("notice wrong") : new Html("notice")
  return html`<p class="${kind}" role="${isWrong ? "alert" : "status"}">${text}</p>`
}
