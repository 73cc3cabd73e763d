// Keeps a volunteer's page as it is on the hub while it is looked at: the only script of these pages, which all do without it. It fetches the
// page itself, and puts what may have changed in its place; never under somebody's hands.
import { VOLUNTEER_LOOK_MS } from "../../limits.ts"

/** Ids of what is put in its place. */
export const LIVE = ["computers", "gift"] as const

export const liveScript = `
setInterval(async () => {
  if (document.hidden) return
  try {
    const answer = await fetch("/volunteer", { headers: { Accept: "text/html" } })
    if (!answer.ok) return
    const page = new DOMParser().parseFromString(await answer.text(), "text/html")
    for (const id of ${JSON.stringify(LIVE)}) {
      const [here, there] = [document.getElementById(id), page.getElementById(id)]
      // The session is over: the page that says so.
      if (there === null) return location.assign("/volunteer")
      const isInUse = here.contains(document.activeElement) || here.querySelector("details[open]") !== null
      if (!isInUse && here.innerHTML !== there.innerHTML) here.replaceChildren(...there.childNodes)
    }
  } catch {
    // The hub is away: what is shown stays, and the next look may find it.
  }
}, ${VOLUNTEER_LOOK_MS})
`
