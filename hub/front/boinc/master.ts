// The page at the hub's own address, for those who are not its operator: what this is, in plain words, whether their own computer can take
// part and how, and the two lines by which a BOINC client finds the scheduler. No script, one style, everything made here.
import { Html, html } from "../html.ts"
import { page } from "../layout.ts"
import { count } from "../text.ts"
import { clouds } from "./picture.ts"
import { systemsOf, type Visitor } from "./visitor.ts"

export interface MasterParts {
  /** What volunteers give to BOINC. */
  readonly masterUrl: string
  readonly projectName: string
  /** Null while there is nothing for volunteers. */
  readonly schedulerUrl: string | null
  /** For which there is a version. */
  readonly platforms: readonly string[]
  readonly visitor: Visitor | null
  /** The operator's own words: what is computed here, for whom, whom to ask. "": none. */
  readonly about: string
  /** Jobs of scientists as they are now. */
  readonly jobs: { readonly running: number; readonly waiting: number }
}

export function masterPage(parts: MasterParts): string {
  const { projectName, schedulerUrl } = parts
  const nothing = html`<p>There is nothing for volunteers here yet: the people who run this hub have not set it up for home
computers. Please come back another day.</p>`
  return page({
    title: projectName,
    head: schedulerUrl === null ? null : schedulerTags(schedulerUrl),
    body: html`
<h1>${projectName}</h1>
${schedulerUrl === null ? null : firstLine(parts)}
${clouds}
<p>Scientists compute here on computers that people lend them, for the time that they do not need them.</p>
${science(parts)}
${schedulerUrl === null ? nothing : steps(parts)}
<p class="aside">For the people who run this hub: <a href="/status">status</a>.</p>`,
  })
}

/** About this visitor's own computer, before they install anything. */
function firstLine({ visitor, platforms }: MasterParts): Html {
  const systems = systemsOf(platforms)
  if (visitor === null) {
    return html`<p class="lead">You can lend them a computer that runs ${systems}: it takes five minutes.</p>`
  }
  if (visitor.platforms.some(platform => platforms.includes(platform))) {
    return html`<p class="lead">Your computer, which runs ${visitor.system}, can take part: it takes five minutes.</p>`
  }
  const what = visitor.isHandheld ? "a phone or a tablet" : `a computer that runs ${visitor.system}`
  return html`<p class="lead">You are at ${what}, and that cannot take part: there is a version for ${systems} only.
Please install nothing for it here. If you have a computer with ${systems} too, open this page there.</p>`
}

function science({ about, jobs }: MasterParts): Html {
  const { running, waiting } = jobs
  const now =
    running + waiting === 0
      ? "Just now nobody has work; computers that take part stay idle until somebody has."
      : `Just now ${count(running, "job")} ${running === 1 ? "is" : "are"} being computed, and ${waiting} ${waiting === 1 ? "waits" : "wait"} for a computer.`
  const paragraphs = about.split(/\n\s*\n/).filter(text => text.trim() !== "")
  return html`
<h2>What is computed here</h2>
${
  paragraphs.length > 0
    ? paragraphs.map(text => html`<p>${text}</p>`)
    : html`<p>Whatever the scientists of this hub need many processors for: simulations, pictures, searches through many possibilities,
cut into jobs that each fit on one computer. Your own page shows by name what your computer works on, and for whom.</p>`
}
<p>${now}</p>`
}

function steps({ masterUrl, platforms }: MasterParts): Html {
  return html`
<h2>Take part</h2>
<ol class="steps">
<li>Install BOINC: on Debian and Ubuntu <code>sudo apt install boinc qemu-system-x86</code>, elsewhere from
<a href="https://boinc.berkeley.edu/download.php">boinc.berkeley.edu</a>. There is a version for ${systemsOf(platforms)}.
Then let it use the processor's virtualisation, without which the work
takes ten times as long: <code>sudo usermod -aG kvm boinc &amp;&amp; sudo systemctl restart boinc-client</code></li>
<li>In the BOINC Manager choose <strong>Add project</strong>, and give this address: <code>${masterUrl}</code></li>
<li>Choose an e-mail address and a password. That is all: your computer does the rest, when you do not need it.</li>
</ol>
<p><a class="button" href="/volunteer">See what your computer does</a></p>
<h2>What it can do, and what it cannot</h2>
<ul>
<li>It works in a virtual machine: a computer within your computer. What runs in there sees none of your files, and on the
network it reaches this hub and nothing else.</li>
<li>It takes no more processor, memory, disk and network than you allow in BOINC, and gives way when you need them.</li>
<li>You can stop it at any time, in BOINC or on your page, and remove it without a trace.</li>
<li>It cannot be used to look into your computer or your home network, and this hub does not tell scientists who you are.</li>
</ul>
<h2>Help</h2>
<dl>
<dt>Nothing starts</dt>
<dd>BOINC says why: look at the task under <strong>Tasks</strong>, at <strong>Notices</strong> and at the event log
(<strong>Tools</strong>). <a href="/volunteer">Your page</a> shows what the virtual machine said last. Often QEMU is not installed.</dd>
<dt>It is slow, or “emulated”</dt>
<dd>BOINC's user may not use the processor's virtualisation: type the last command of step 1. If that does not help, it is switched off in the
computer's firmware (BIOS): look for “VT-x”, “AMD-V” or “SVM”.</dd>
<dt>It is in my way</dt>
<dd>Give it less under <strong>Options, Computing preferences</strong> in BOINC, or have it work only when you are away.</dd>
<dt>How do I leave?</dt>
<dd>Choose the project in BOINC and press <strong>Remove</strong>; then press “forget me” on <a href="/volunteer">your page</a>.</dd>
</dl>`
}

/** Both forms that clients know, each whole on one line: they read 256 bytes at a time. */
function schedulerTags(url: string): Html {
  return html`<link rel="boinc_scheduler" href="${url}">
${new Html(`<!-- <scheduler>${url}</scheduler> -->`)}`
}
