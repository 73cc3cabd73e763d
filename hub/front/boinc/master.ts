// The page at the hub's own address, for those who are not its operator: what this is, in plain words, how to take part, and the
// two lines by which a BOINC client finds the scheduler. No script, one style, everything made here.
import { Html, html } from "../html.ts"
import { page } from "../volunteer/layout.ts"

/** `schedulerUrl` is null while there is nothing for volunteers. */
export function masterPage(masterUrl: string, projectName: string, schedulerUrl: string | null): string {
  const steps = html`
<h2>Take part</h2>
<ol class="steps">
<li>Install BOINC: on Debian and Ubuntu <code>sudo apt install boinc qemu-system-x86</code>, elsewhere from
<a href="https://boinc.berkeley.edu/download.php">boinc.berkeley.edu</a>. Then let it use the processor's virtualisation, without which the work
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
</ul>`
  const nothing = html`<p>There is nothing for volunteers here yet: the people who run this hub have not set it up for home
computers. Please come back another day.</p>`
  return page({
    title: projectName,
    head: schedulerUrl === null ? null : schedulerTags(schedulerUrl),
    body: html`
<h1>${projectName}</h1>
<p class="lead">Scientists compute here on computers that people lend them. You can lend yours, for the time that you do not
need it.</p>
${schedulerUrl === null ? nothing : steps}
<p class="aside">For the people who run this hub: <a href="/status">status</a>.</p>`,
  })
}

/** Both forms that clients know, each whole on one line: they read 256 bytes at a time. */
function schedulerTags(url: string): Html {
  return html`<link rel="boinc_scheduler" href="${url}">
${new Html(`<!-- <scheduler>${url}</scheduler> -->`)}`
}
