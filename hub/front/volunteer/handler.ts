// The volunteer's page over HTTP: looking needs a session, changing needs a form of that session, and everything works without
// script. Logging in takes the address and password given to BOINC, or the account key.
import { type Accounts, nameOf } from "../../auth/accounts.ts"
import type { Failures } from "../../auth/failures.ts"
import type { HubKey } from "../../auth/key.ts"
import { passwordHash } from "../../auth/password.ts"
import type { Computers } from "../../cases/computers.ts"
import { CahError } from "../../core/errors.ts"
import type { Log, StoreReader } from "../../core/ports.ts"
import type { HostId, VolunteerRow } from "../../core/volunteers.ts"
import { PASSWORD_CHARACTERS_MIN, WEB_FORM_BYTES_MAX } from "../../limits.ts"
import type { Request } from "../../port.ts"
import type { Pages } from "../boinc/handler.ts"
import { preferencesOf, readPreferences } from "../boinc/preferences.ts"
import { externalId } from "../boinc/reply.ts"
import type { Uploads } from "../boinc/upload.ts"
import { type Answer, isWithin, readBody, text, turnOf } from "../http.ts"
import { headersWith, pageHeaders } from "../layout.ts"
import { liveScript } from "./live.ts"
import { type OverviewParts, overviewOf } from "./overview.ts"
import { type About, forgetPage, gonePage, loginPage, overviewPage, type Said } from "./pages.ts"
import { isFormOf, type Session, Sessions } from "./session.ts"

export interface VolunteerParts extends OverviewParts {
  readonly store: Pick<StoreReader, "volunteers">
  readonly accounts: Accounts
  readonly computers: Computers
  readonly uploads: Uploads
  readonly logins: Failures
  readonly key: HubKey
  readonly log: Log
  readonly projectName: string
  readonly publicUrl: string | null
}

const PATH = "/volunteer"

/** After a form: back to the page, with a word about what happened. By a word of ours, so that nobody can put words of theirs into a link. */
const saidAfter = {
  stopped: { text: "Stopped. What it worked on goes to other computers.", isWrong: false },
  started: {
    text: "It gets work again when BOINC next calls, in about ten minutes; Update in BOINC makes it call at once.",
    isWrong: false,
  },
  saved: { text: "Saved. Your computers take it over when they next call.", isWrong: false },
  shown: { text: "Saved.", isWrong: false },
  password: { text: "Your password is changed. BOINC goes on with the key that it has.", isWrong: false },
  renamed: { text: "Renamed.", isWrong: false },
  merged: { text: "The two are one computer now.", isWrong: false },
  removed: { text: "Removed from this list. Should it call again, it is back.", isWrong: false },
  out: { text: "You are logged out here, and in every other browser.", isWrong: false },
} as const satisfies Readonly<Record<string, Said>>

/** Of our words only: an object has more names than were put into it. */
function saidBy(word: string): Said | null {
  return Object.hasOwn(saidAfter, word) ? saidAfter[word as keyof typeof saidAfter] : null
}

export function volunteerPages(parts: VolunteerParts): Pages {
  const sessions = new Sessions(parts)

  return async function answer(request, path, query, masterUrl): Promise<Answer> {
    const said = saidBy(query.get("said") ?? "")
    const about: About = { projectName: parts.projectName, masterUrl, said }
    if (request.method === "GET" || request.method === "HEAD") return look(about, request, path)
    if (request.method !== "POST")
      return text(405, "GET, or POST from a form of this page\n", { Allow: "GET, HEAD, POST" })
    if (sessions.isFromElsewhere(request)) return text(403, "this form came from another site\n")
    // Who may not send a form is told so before it is read.
    const isLogin = path === `${PATH}/login`
    if (isLogin && !isWithin(parts.logins, request)) {
      return html(loginPage({ ...about, said: wrong("Too many tries from your address: please wait a minute.") }), 429)
    }
    const session = isLogin ? null : sessions.of(request)
    if (!isLogin && session === null)
      return html(loginPage({ ...about, said: wrong("Please log in first: your session is over.") }), 401)
    const body = await readBody(request, WEB_FORM_BYTES_MAX)
    if (body === null) return text(413, `a form has at most ${WEB_FORM_BYTES_MAX} bytes\n`)
    const form = new URLSearchParams(body.toString("utf8"))
    if (session === null) return logIn(about, request, form)
    if (!isFormOf(session, form.get("token") ?? "")) {
      return overview({ ...about, said: wrong("That form was too old. Please try once more.") }, session, 403)
    }
    try {
      return await change(about, request, session, path, form)
    } catch (thrown) {
      const error = CahError.from(thrown)
      if (error.code === "internal") throw thrown
      return overview(
        { ...about, said: wrong(`${error.message}.`) },
        session,
        error.code === "not_found" ? 404 : error.code === "failed_precondition" ? 409 : 503,
      )
    }
  }

  function look(about: About, request: Request, path: string): Answer {
    const session = sessions.of(request)
    if (path !== PATH && path !== `${PATH}/forget`) return text(404, "not found: your page is at /volunteer\n")
    if (session === null) return html(loginPage(about))
    return path === PATH ? overview(about, session) : html(forgetPage(about, session))
  }

  function overview(about: About, session: Session, status = 200): Answer {
    const { volunteer } = session
    const body = overviewPage(about, session, overviewOf(parts, volunteer), readPreferences(volunteer.preferences))
    return html(body, status, headersWith(liveScript))
  }

  async function logIn(about: About, request: Request, form: URLSearchParams): Promise<Answer> {
    const volunteer = await whoLogsIn(form, request)
    if (typeof volunteer === "string") {
      return html(loginPage({ ...about, said: wrong(volunteer) }, form.get("email")?.trim()), 401)
    }
    return back(null, { "Set-Cookie": sessions.begin(volunteer, request) })
  }

  async function whoLogsIn(form: URLSearchParams, request: Request): Promise<VolunteerRow | string> {
    const key = form.get("key")
    if (key !== null) return parts.accounts.byKey(key.trim()) ?? "No account has this key."
    const [email, password] = [form.get("email")?.trim() ?? "", form.get("password") ?? ""]
    try {
      const found = await parts.accounts.logIn(email, passwordHash(password, email), turnOf(request, email))
      return typeof found === "string" ? "This address and this password do not belong together." : found.volunteer
    } catch (thrown) {
      const error = CahError.from(thrown)
      if (error.code !== "unavailable") throw thrown
      return `Not now: ${error.message}.`
    }
  }

  async function change(
    about: About,
    request: Request,
    session: Session,
    path: string,
    form: URLSearchParams,
  ): Promise<Answer> {
    const { volunteer } = session
    const again = (words: string, status = 400) => overview({ ...about, said: wrong(words) }, session, status)
    switch (path.slice(PATH.length + 1)) {
      case "logout":
        // Of all browsers: what one of them kept opens nothing any more.
        await parts.accounts.change(volunteer.id, row => ({ session: row.session + 1 }))
        return back("out", { "Set-Cookie": sessions.end(request) })
      case "rename":
        await parts.computers.rename(volunteer.id, hostIdOf(form), titleOf(form.get("title") ?? ""))
        return back("renamed")
      case "remove":
        await parts.computers.remove(volunteer.id, hostIdOf(form))
        parts.log.info({ volunteer: volunteer.id, host: hostIdOf(form) }, "a volunteer removed a computer")
        return back("removed")
      case "merge":
        await parts.computers.merge(volunteer.id, hostIdOf(form), Number(form.get("into")) as HostId)
        return back("merged")
      case "stop":
        await parts.computers.stop(volunteer.id, hostIdOf(form))
        parts.log.info({ volunteer: volunteer.id, host: hostIdOf(form) }, "a volunteer stopped a computer")
        return back("stopped")
      case "start":
        await parts.computers.start(volunteer.id, hostIdOf(form))
        return back("started")
      case "preferences": {
        const preferences = preferencesOf(form, parts.clock.wallMs())
        if (typeof preferences === "string") return again(preferences)
        await parts.accounts.change(volunteer.id, () => ({ preferences: JSON.stringify(preferences) }))
        return back("saved")
      }
      case "shown":
        await parts.accounts.change(volunteer.id, () => ({
          shown: form.get("shown") === "1",
          name: nameOf(form.get("name") ?? ""),
        }))
        return back("shown")
      case "password": {
        const fresh = await newPassword(request, volunteer, form)
        if (typeof fresh === "string") return again(fresh)
        return back("password", { "Set-Cookie": sessions.begin(fresh, request) })
      }
      case "forget":
        if (form.get("sure") !== "1") {
          return html(forgetPage({ ...about, said: wrong("Please say that you are sure.") }, session), 400)
        }
        await forget(volunteer)
        return html(gonePage(about), 200, { "Set-Cookie": sessions.end(request) })
      default:
        return text(404, "not found: your page is at /volunteer\n")
    }
  }

  async function newPassword(
    request: Request,
    { id, email }: VolunteerRow,
    form: URLSearchParams,
  ): Promise<VolunteerRow | string> {
    const [current, fresh] = [form.get("current") ?? "", form.get("new") ?? ""]
    if (fresh.length < PASSWORD_CHARACTERS_MIN) return `A password has at least ${PASSWORD_CHARACTERS_MIN} characters.`
    if (!isWithin(parts.logins, request)) return "Too many tries from your address: please wait a minute."
    const turn = turnOf(request, email ?? "")
    const key =
      parts.accounts.byKey(current.trim())?.id === id ? current.trim() : await keyBehind(email ?? "", current, turn)
    if (key === null) return "That is neither your password nor your account key."
    return parts.accounts.setPassword(id, key, passwordHash(fresh, email ?? ""), turn)
  }

  async function keyBehind(email: string, password: string, turn: string): Promise<string | null> {
    const found = await parts.accounts.logIn(email, passwordHash(password, email), turn)
    return typeof found === "string" ? null : found.key
  }

  async function forget(volunteer: VolunteerRow): Promise<void> {
    const { volunteers } = parts.store
    const hosts = volunteers.hostsOf(volunteer.id)
    await parts.computers.forget(volunteer, writes =>
      parts.accounts.forget(volunteer.id, externalId(volunteer), writes),
    )
    // From now on none of theirs is taken; this waits for what is under way.
    for (const { id } of hosts) await parts.uploads.forget(volunteers.launchesOf(id, Number.MAX_SAFE_INTEGER))
    parts.log.info({ volunteer: volunteer.id }, "a volunteer was forgotten")
  }
}

/** As nameOf(), but "" is to have none. */
function titleOf(given: string): string {
  return given.trim() === "" ? "" : nameOf(given)
}

function hostIdOf(form: URLSearchParams): HostId {
  return Number(form.get("computer")) as HostId
}

function wrong(words: string): Said {
  return { text: words, isWrong: true }
}

function html(body: string, status = 200, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, type: "text/html", body, headers: { ...pageHeaders, ...headers } }
}

/** A form is answered by going back to the page, so that loading it anew sends nothing twice. */
function back(said: keyof typeof saidAfter | null, headers: Readonly<Record<string, string>> = {}): Answer {
  const Location = said === null ? PATH : `${PATH}?said=${said}`
  return { status: 303, type: "text/plain", body: "see /volunteer\n", headers: { Location, ...headers } }
}
