// The pages of a volunteer, as HTML. Short words, no trade terms: "computer", "virtual machine", "work". Forms post and come back.

import { type Preferences, usual, whens } from "../boinc/preferences.ts"
import { type Html, html } from "../html.ts"
import { notice, page } from "../layout.ts"
import { count, size } from "../text.ts"
import { LIVE, liveScript } from "./live.ts"
import type { Computer, Overview } from "./overview.ts"
import type { Session } from "./session.ts"

export interface Said {
  readonly text: string
  readonly isWrong: boolean
}

export interface About {
  readonly projectName: string
  /** What volunteers give to BOINC. */
  readonly masterUrl: string
  readonly said: Said | null
}

/** `email`: what was typed before; a wrong password need not cost it. */
export function loginPage({ projectName, masterUrl, said }: About, email = ""): string {
  return page({
    title: `Log in · ${projectName}`,
    body: html`
<h1>Your computers on ${projectName}</h1>
${said === null ? null : notice(said.text, said.isWrong)}
<form method="post" action="/volunteer/login">
<fieldset><legend>With the address and password that you gave to BOINC</legend>
<label for="email">E-mail address</label>
<input id="email" name="email" type="email" autocomplete="username" required maxlength="254" value="${email}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<p><button>Log in</button></p>
</fieldset>
</form>
<form method="post" action="/volunteer/login">
<fieldset><legend>Or with your account key</legend>
<label for="key">Account key</label>
<input id="key" name="key" autocomplete="off" required pattern="[0-9a-f]{32}" aria-describedby="key-help">
<p id="key-help">BOINC keeps it in its data folder, in the file <code>account_…xml</code>, between
<code>&lt;authenticator&gt;</code> and <code>&lt;/authenticator&gt;</code>. With it you can also set a new password.</p>
<p><button>Log in</button></p>
</fieldset>
</form>
<h2>No account yet?</h2>
<p>You make one in BOINC: choose <strong>Add project</strong> and give this address: <code>${masterUrl}</code></p>
<p class="aside"><a href="/">What this is</a></p>`,
  })
}

export function overviewPage(
  about: About,
  session: Session,
  overview: Overview,
  preferences: Preferences | null,
): string {
  const { volunteer, formToken } = session
  const token = html`<input type="hidden" name="token" value="${formToken}">`
  const { computers } = overview
  return page({
    title: `Your computers · ${about.projectName}`,
    script: liveScript,
    body: html`
<nav aria-label="Account"><span>${volunteer.email}</span>
<form method="post" action="/volunteer/logout">${token}<button>Log out</button></form></nav>
<h1>Your computers</h1>
${about.said === null ? null : notice(about.said.text, about.said.isWrong)}
<div id="${LIVE[0]}">
${computers.length === 0 ? none(about) : computers.map(computer => computerCard(computer, computers, token))}
</div>
<p><a class="button" href="/volunteer">Look again</a></p>
<div id="${LIVE[1]}">
${given(overview)}
</div>
${switches(preferences, token)}
${leaving(session, token)}`,
  })
}

function none({ masterUrl }: About): Html {
  return html`<p>None yet. In BOINC choose <strong>Add project</strong>, give the address <code>${masterUrl}</code>, and log in with the
account that you have here. The computer shows up on this page when BOINC has called for the first time.</p>`
}

function computerCard(computer: Computer, all: readonly Computer[], token: Html): Html {
  const { host, name, doing, jobs, slow, said, isStopped } = computer
  const what = isStopped ? "start" : "stop"
  const button = isStopped
    ? html`<button aria-label="Start again: ${name}">Start again</button>`
    : html`<button class="stop" aria-label="Stop now: ${name}">Stop now</button>`
  return html`
<div class="computer">
<h2>${name}</h2>
<p>${doing}</p>
${jobs.length === 0 ? null : html`<ul class="jobs">${jobs.slice(0, JOBS_SHOWN).map(job => html`<li>${job}</li>`)}</ul>`}
${jobs.length > JOBS_SHOWN ? html`<p>And ${count(jobs.length - JOBS_SHOWN, "more job")}.</p>` : null}
${slow === null ? null : html`<p>${slow}</p>`}
${said === "" ? null : html`<p>This is what it said last:</p><p class="says">${said}</p>`}
<form method="post" action="/volunteer/${what}">${token}<input type="hidden" name="computer" value="${host.id}">${button}</form>
<table>
<tr><th scope="row">given</th><td>${gift(computer.hours, computer.results)}</td></tr>
<tr><th scope="row">credit</th><td>${amount(computer.credit)}</td></tr>
<tr><th scope="row">received, sent</th><td>${size(computer.bytesIn)}, ${size(computer.bytesOut)} for its work${
    computer.fetchedBytes === null
      ? null
      : html`; received besides, once, ${size(computer.fetchedBytes)} for the virtual machine`
  }</td></tr>
</table>
${keeping(computer, all, token)}
</div>`
}

const JOBS_SHOWN = 20

/** What is wanted seldom, folded away: another name, two records of one computer, one that is gone. */
function keeping({ host, name }: Computer, all: readonly Computer[], token: Html): Html {
  const id = html`<input type="hidden" name="computer" value="${host.id}">`
  const others = all.filter(other => other.host.id !== host.id)
  const options = others.map(
    other => html`<option value="${other.host.id}">${other.name} (since ${day(other.host.createdAt)})</option>`,
  )
  const merge = html`
<form method="post" action="/volunteer/merge">${token}${id}
<label for="into-${host.id}">It is the same computer as</label>
<select id="into-${host.id}" name="into">${options}</select>
<p><button aria-label="Make one of both: ${name}">Make one of both</button></p>
</form>`
  return html`
<details><summary>Rename, merge or remove ${name}</summary>
<form method="post" action="/volunteer/rename">${token}${id}
<label for="title-${host.id}">Your name for it (empty: its own)</label>
<input id="title-${host.id}" name="title" maxlength="200" autocomplete="off" value="${host.title}">
<p><button aria-label="Rename: ${name}">Rename</button></p>
</form>
${others.length === 0 ? null : merge}
<form method="post" action="/volunteer/remove">${token}${id}
<p>Known since ${day(host.createdAt)}. If it is gone, take it off this list; what it has given stays with your account.</p>
<p><button aria-label="Remove: ${name}">Remove</button></p>
</form>
</details>`
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}

function given({ credit, hours, results }: Overview): Html {
  return html`
<section aria-labelledby="given"><h2 id="given">What you have given</h2>
<p>${
    results === 0
      ? "Nothing yet."
      : html`${gift(hours, results)}. That is <strong>${amount(credit.total)}</strong> credit${
          credit.average < 0.05 ? "" : `, recently about ${amount(credit.average)} a day`
        }.`
  }</p>
<p>Credit is for work that was finished and taken: 200 for each day of one processor core, as the hub measured it.</p>
</section>`
}

function switches(preferences: Preferences | null, token: Html): Html {
  const { when, processorPercent, memoryPercent, networkKiBps } = preferences ?? usual
  const choices = Object.entries(whens).map(
    ([name, words]) =>
      html`<label class="inline"><input type="radio" name="when" value="${name}"${name === when ? html` checked` : null}> ${words}</label><br>`,
  )
  return html`
<section aria-labelledby="switches"><h2 id="switches">When, and how much</h2>
<p>${preferences === null ? "Nothing is set here: each computer goes by its own settings in BOINC." : "Your computers take this over when they next call. What you set on a computer itself goes before it."}
It holds for all projects of BOINC on your computers, not only for this one.</p>
<form method="post" action="/volunteer/preferences">${token}
<fieldset><legend>When may your computers work?</legend>${choices}</fieldset>
<label for="processor">How much of the processor, in per cent</label>
<input id="processor" name="processor" type="number" min="1" max="100" required value="${processorPercent}">
<label for="memory">How much of the memory, in per cent</label>
<input id="memory" name="memory" type="number" min="1" max="90" required value="${memoryPercent}">
<label for="network">How much of the network, in kilobytes a second (empty: no limit)</label>
<input id="network" name="network" type="number" min="1" max="10000000" value="${networkKiBps ?? ""}">
<p><button>Save</button></p>
</form>
</section>`
}

function leaving({ volunteer }: Session, token: Html): Html {
  const checked = volunteer.shown ? html` checked` : null
  return html`
<section aria-labelledby="account"><h2 id="account">Your account</h2>
<form method="post" action="/volunteer/shown">${token}
<label for="name">Your name, as others may see it</label>
<input id="name" name="name" maxlength="200" autocomplete="nickname" value="${volunteer.name}">
<p><label class="inline"><input type="checkbox" name="shown" value="1"${checked}> Show my name and my credit in public statistics</label></p>
<p><button>Save</button></p>
</form>
<form method="post" action="/volunteer/password">${token}
<fieldset><legend>A new password</legend>
<input name="username" autocomplete="username" value="${volunteer.email}" hidden>
<label for="current">Your password now, or your account key</label>
<input id="current" name="current" type="password" autocomplete="current-password" required>
<label for="new">The new password, at least 8 characters</label>
<input id="new" name="new" type="password" autocomplete="new-password" minlength="8" required>
<p><button>Change it</button></p>
</fieldset>
</form>
</section>
<section aria-labelledby="leave"><h2 id="leave">How to leave</h2>
<ol class="steps">
<li>In BOINC choose this project and press <strong>Remove</strong>. BOINC stops the virtual machine and deletes all of its files.</li>
<li>If you want nothing of you to stay here either: <a href="/volunteer/forget">forget me</a>.</li>
</ol>
</section>`
}

export function forgetPage(about: About, { volunteer, formToken }: Session): string {
  return page({
    title: `Forget me · ${about.projectName}`,
    body: html`
<h1>Forget me</h1>
${about.said === null ? null : notice(about.said.text, about.said.isWrong)}
<p>This deletes your account (${volunteer.email}): your address, name, password and key, the names and descriptions of your
computers, and what they sent. Your computers stop. It cannot be undone.</p>
<p>What stays is that somebody with a number did so much work, without anything that leads to you: the sums of credit must
remain right.</p>
<form method="post" action="/volunteer/forget"><input type="hidden" name="token" value="${formToken}">
<label class="inline"><input type="checkbox" name="sure" value="1" required> Yes, delete my account</label>
<p><button class="stop">Forget me</button></p>
</form>
<p><a href="/volunteer">No, go back</a></p>`,
  })
}

export function gonePage({ projectName }: About): string {
  return page({
    title: `Gone · ${projectName}`,
    body: html`
<h1>Your account is deleted</h1>
<p>If BOINC still has this project on a computer, remove it there. Thank you for what you have given.</p>`,
  })
}

function gift(hours: number, results: number): string {
  if (results === 0) return "Nothing yet"
  const minutes = Math.round(hours * 60)
  const short = minutes === 0 ? "less than a minute" : count(minutes, "minute")
  const time = hours < 1 ? short : count(Math.round(hours), "hour")
  return `${time} of one processor core, for ${count(results, "finished job")}`
}

/** Of credit: the first tenths are worth seeing. */
function amount(credit: number): string {
  return credit < 10 ? credit.toFixed(1) : credit.toFixed(0)
}
