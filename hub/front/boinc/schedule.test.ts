import assert from "node:assert/strict"
import { describe, it } from "node:test"
import type { NodeId } from "../../core/model.ts"
import type { HostId, HostRow, LaunchId, LaunchRow, VolunteerId, VolunteerRow } from "../../core/volunteers.ts"
import {
  BOINC_CALL_EVERY_S,
  BOINC_CALL_SPREAD_S,
  BOINC_MEND_DELAY_S,
  BOINC_NOTHING_DELAY_S,
  BOINC_REQUEST_DELAY_S,
  HOST_QUIET_MS,
  LAUNCH_ABORTED_BACKOFF_S,
  LAUNCH_BACKOFF_S,
  LAUNCH_DEADLINE_MS,
  LAUNCH_GOOD_MS,
  LAUNCH_IDLE_MS,
} from "../../limits.ts"
import { clientRequest, type Sent, testRelease } from "./client.suite.ts"
import { launchIdOf, resultName, shareOf } from "./launch.ts"
import { parseSchedulerRequest } from "./request.ts"
import { type Decision, decide, hostFor, type Known } from "./schedule.ts"

const nowMs = 1_800_000_000_000
const release = testRelease()

const volunteer: VolunteerRow = {
  id: 1 as VolunteerId,
  email: "vera@example.org",
  name: "Vera",
  salt: new Uint8Array(),
  password: new Uint8Array(),
  keyHash: new Uint8Array(),
  sealedKey: new Uint8Array(),
  crossId: "",
  session: 0,
  shown: false,
  preferences: null,
  createdAt: 0,
  forgottenAt: null,
}

function hostRow(change: Partial<HostRow> = {}): HostRow {
  return {
    id: 3 as HostId,
    volunteer: volunteer.id,
    cpid: "c".repeat(32),
    sequence: 5,
    name: "attic",
    facts: {},
    clientStarted: 0,
    title: "",
    stopped: false,
    removed: false,
    mergedInto: null,
    barred: false,
    failures: 0,
    notBefore: 0,
    createdAt: 0,
    heardAt: nowMs,
    ...change,
  }
}

function launchRow(change: Partial<LaunchRow> = {}): LaunchRow {
  return {
    id: 9 as LaunchId,
    host: 3 as HostId,
    secretName: "e".repeat(32),
    planClass: "qemu",
    versionNumber: 100,
    enrolment: "f".repeat(16),
    hubUrl: "http://hub",
    draining: null,
    stopping: null,
    ending: null,
    exitStatus: null,
    message: "",
    madeAt: nowMs - 60_000,
    deadlineAt: nowMs - 60_000 + LAUNCH_DEADLINE_MS,
    endedAt: null,
    ...change,
  }
}

const enrolled = { node: "n1" as NodeId, bytesIn: 0, bytesOut: 0 }
const unused = { node: null, bytesIn: 0, bytesOut: 0 }
const name = resultName(launchRow())

function decided(sent: Partial<Sent>, known: Partial<Known> = {}): Decision {
  const request = parseSchedulerRequest(clientRequest({ hostId: 3, sequence: 6, ...sent }))
  return decide(request, {
    volunteer,
    host: hostRow(),
    launch: null,
    tally: unused,
    node: null,
    last: null,
    hasWork: true,
    release,
    nowMs,
    random: 0,
    ...known,
  })
}

function texts({ messages }: Decision): string {
  return messages.map(message => message.text).join(" ")
}

describe("a computer that calls", () => {
  const request = (sent: Partial<Sent>) => parseSchedulerRequest(clientRequest(sent))
  const known = (change: Partial<HostRow>, isWorking = false) => ({ host: hostRow(change), isWorking })

  const facts = parseSchedulerRequest(clientRequest()).host.facts

  it("goes on with its record, also when the same request comes twice", () => {
    for (const sequence of [5, 6, 60]) {
      assert.equal(hostFor(request({ hostId: 3, sequence }), [known({ sequence: 5, facts })], nowMs)?.id, 3)
    }
  })

  it("that says the same number from another machine is a copy too; later, a new memory bar is none", () => {
    for (const other of [{ name: "laptop" }, { memoryBytes: 1e9 }]) {
      assert.equal(hostFor(request({ hostId: 3, sequence: 5, ...other }), [known({ sequence: 5, facts })], nowMs), null)
      assert.equal(
        hostFor(request({ hostId: 3, sequence: 6, ...other }), [known({ sequence: 5, facts })], nowMs)?.id,
        3,
      )
    }
  })

  it("is called back at times that spread", () => {
    const at = (random: number) => decided({}, { random }).callAfterS
    assert.deepEqual([at(0), at(0.999)], [BOINC_CALL_EVERY_S, BOINC_CALL_EVERY_S + BOINC_CALL_SPREAD_S])
  })

  it("V9: that counts lower than it did is a copy, and gets a record of its own", () => {
    assert.equal(hostFor(request({ hostId: 3, sequence: 4 }), [known({ sequence: 5 })], nowMs), null)
  })

  it("that lost its id is known again by what its client calls it, unless another goes on under that", () => {
    const lost = request({ hostId: 0, sequence: 0 })
    assert.equal(hostFor(lost, [known({})], nowMs)?.id, 3)
    assert.equal(hostFor(lost, [known({ cpid: "d".repeat(32) })], nowMs), null)
    assert.equal(hostFor(lost, [known({}, true)], nowMs), null, "it works, and was heard just now")
    assert.equal(hostFor(lost, [known({ heardAt: nowMs - HOST_QUIET_MS }, true)], nowMs)?.id, 3)
    assert.equal(hostFor(request({ cpid: "" }), [known({ cpid: "" })], nowMs), null)
  })
})

describe("copies of a client's directory", () => {
  const request = (sent: Partial<Sent>) => parseSchedulerRequest(clientRequest(sent))
  const { facts } = request({}).host
  const known = (change: Partial<HostRow>, isWorking = true) => ({ host: hostRow({ facts, ...change }), isWorking })

  it("V16: that run at once on one machine are told apart: the one started first calls after the other", () => {
    const original = { clientStarted: 1_700_000_000 }
    const copy = { clientStarted: 1_700_000_900 }
    const row = known({ sequence: 6, ...original })
    assert.equal(
      hostFor(request({ hostId: 3, sequence: 6, ...copy }), [row], nowMs)?.id,
      3,
      "it may have been started anew",
    )
    const after = known({ sequence: 6, ...copy })
    assert.equal(hostFor(request({ hostId: 3, sequence: 7, ...original }), [after], nowMs), null)
    assert.equal(hostFor(request({ hostId: 3, sequence: 7, ...copy }), [after], nowMs)?.id, 3)
    assert.equal(
      hostFor(request({ hostId: 3, sequence: 7, clientStarted: 0 }), [after], nowMs)?.id,
      3,
      "an older client does not say",
    )
  })

  it("V9: whose answer was lost are told the same new id again", () => {
    const told = known({ id: 4 as HostId, sequence: 0, clientStarted: 1_700_000_000 })
    const again = request({ hostId: 3, sequence: 4, clientStarted: 1_700_000_000 })
    assert.equal(hostFor(again, [known({ sequence: 5 }), told], nowMs)?.id, 4)
    assert.equal(
      hostFor(request({ hostId: 3, sequence: 4, clientStarted: 1_700_000_900 }), [known({}), told], nowMs),
      null,
    )
  })

  it("V9: get work of their own in the answer that takes the original's from them", () => {
    const copied = decided({ wants: 0, others: ["vm_4_5_0"] }, { host: hostRow({ id: 47 as HostId, sequence: 0 }) })
    assert.deepEqual([copied.abort, copied.send?.kind], [["vm_4_5_0"], "new"])
  })

  it("V10: removed and added again is the same computer at once; installed anew, when the old one is not at work", () => {
    const again = request({ hostId: 0, sequence: 0 })
    assert.equal(hostFor(again, [known({})], nowMs)?.id, 3)
    assert.equal(
      hostFor(request({ hostId: 0, name: "laptop" }), [known({})], nowMs),
      null,
      "a copy of its disk on another machine",
    )
    const anew = request({ hostId: 0, cpid: "e".repeat(32) })
    assert.equal(hostFor(anew, [known({}, false)], nowMs)?.id, 3)
    assert.equal(hostFor(anew, [known({})], nowMs), null, "two of a kind that both work")
    assert.equal(
      hostFor(request({ hostId: 0, cpid: "e".repeat(32), name: "" }), [known({ name: "" }, false)], nowMs),
      null,
    )
  })

  it("V10: one that its volunteer merged into another goes on as that, unless both are at work", () => {
    const merged = known({ id: 4 as HostId, mergedInto: 3 as HostId }, false)
    const laptop = { hostId: 4, sequence: 9, name: "laptop", cpid: "e".repeat(32) }
    assert.equal(hostFor(request(laptop), [known({}, false), merged], nowMs)?.id, 3)
    assert.equal(hostFor(request(laptop), [known({}), merged], nowMs), null)
    assert.equal(hostFor(request({ hostId: 0, name: "attic" }), [merged], nowMs), null)
  })
})

describe("a volunteer who wants no new tasks", () => {
  const working = { launch: launchRow(), tally: enrolled }
  const node = (drained: boolean, isIdle: boolean) => ({ revoked: false, drained, isIdle })
  const refuses = { refuses: true, wants: 0, others: [name] }

  it("V4: keeps what the virtual machine has, and nothing more comes", () => {
    const busy = decided(refuses, { ...working, node: node(false, false) })
    assert.deepEqual([busy.drain, busy.finish, busy.abort, busy.callAfterS], [true, [], [], BOINC_CALL_EVERY_S])
    assert.match(busy.launch?.draining ?? "", /takes no new tasks/)
    assert.match(texts(busy), /does what it has/)
  })

  it("V4: has it end in order when it has nothing left, and another only when new tasks are wanted", () => {
    const first = decided(refuses, { ...working, node: node(false, true) })
    assert.deepEqual(
      [first.drain, first.finish, first.callAfterS],
      [true, [], BOINC_REQUEST_DELAY_S],
      "a job may be on its way",
    )
    const idle = decided(refuses, { launch: first.launch, tally: enrolled, node: node(true, true) })
    assert.deepEqual([idle.finish, idle.abort], [[name], []])
    assert.deepEqual(decided(refuses, { launch: launchRow() }).finish, [name], "it has not even begun")
    const results = [{ name, state: 5, exit: 0 }]
    const over = decided({ refuses: true, wants: 0, results }, { ...working, node: node(true, true) })
    assert.deepEqual([over.launch?.ending, over.send, over.host.failures], ["finished", null, 0])
    assert.equal(decided({}, { host: { ...over.host, notBefore: nowMs } }).send?.kind, "new")
  })

  it("V4: who changes their mind has it take jobs again; what the operator drained stays so", () => {
    const launch = launchRow({ draining: "…" })
    const again = decided({ others: [name] }, { launch, tally: enrolled, node: node(true, false) })
    assert.deepEqual([again.drain, again.launch?.draining], [false, null])
    assert.equal(decided({ others: [name] }, { ...working, node: node(true, false) }).drain, null)
  })
})

describe("a launch", () => {
  it("is made at the first request for work, and called after", () => {
    const { send, callAfterS, messages } = decided({})
    assert.equal(send?.kind === "new" && send.version.planClass, "qemu")
    assert.deepEqual([callAfterS, messages], [BOINC_CALL_EVERY_S, []])
  })

  it("is not made for who wants none, or asks for none", () => {
    for (const sent of [{ refuses: true }, { wants: 0 }]) {
      const decision = decided(sent)
      assert.deepEqual([decision.send, decision.messages], [null, []])
    }
  })

  it("is for QEMU first, and for VirtualBox where that failed and this is usable", () => {
    const planClass = (sent: Partial<Sent>, failures = 0) => {
      const { send } = decided(sent, { host: hostRow({ failures }) })
      return send?.kind === "new" ? send.version.planClass : null
    }
    const box = { virtualBox: "7.0.20" }
    assert.deepEqual(
      [0, 1, 2].map(failures => planClass(box, failures)),
      ["qemu", "vbox", "qemu"],
    )
    for (const sent of [{}, { virtualBox: "7.0.20 (unusable)" }, { ...box, extensionsDisabled: true }]) {
      assert.deepEqual([planClass(sent), planClass(sent, 1)], ["qemu", "qemu"])
    }
  })

  it("goes on, one at a time, however often more is asked for", () => {
    const decision = decided({ others: [name], wants: 100_000 }, { launch: launchRow(), tally: enrolled })
    assert.deepEqual([decision.send, decision.abort, decision.callAfterS], [null, [], BOINC_CALL_EVERY_S])
    assert.match(texts(decision), /has what it gets/)
    assert.equal(decided({ others: [name], wants: 0 }, { launch: launchRow() }).messages.length, 0)
  })

  it("is given more time when half of its time is over", () => {
    const launch = launchRow({ deadlineAt: nowMs + LAUNCH_DEADLINE_MS / 2 - 1 })
    const decision = decided({ others: [name] }, { launch, tally: enrolled })
    assert.equal(decision.send?.kind, "deadline")
    assert.equal(decision.launch?.deadlineAt, nowMs + LAUNCH_DEADLINE_MS)
  })

  it("whose answer was lost is sent again as it was; one that was used already has ended", () => {
    assert.equal(decided({}, { launch: launchRow() }).send?.kind, "again")
    const gone = decided({}, { launch: launchRow(), tally: enrolled })
    assert.equal(gone.launch?.ending, "lost")
    assert.deepEqual([gone.send, gone.host.failures, gone.callAfterS], [null, 1, LAUNCH_BACKOFF_S[0] + 1])
    const old = decided({}, { launch: launchRow({ versionNumber: 99 }) })
    assert.deepEqual([old.launch?.ending, old.send], ["lost", null])
  })

  it("that is reported is acknowledged and over", () => {
    const results = [{ name, state: 5, exit: 0, stderr: "bye" }]
    const { acknowledge, launch, host } = decided({ results, wants: 0 }, { launch: launchRow(), tally: enrolled })
    assert.deepEqual(acknowledge, [name])
    assert.deepEqual([launch?.ending, launch?.message, launch?.endedAt, host.failures], ["finished", "bye", nowMs, 0])
  })

  it("that failed is followed by another after a pause that grows, without being asked for", () => {
    for (const [before, pauseS] of [...LAUNCH_BACKOFF_S, LAUNCH_BACKOFF_S.at(-1)!].entries()) {
      const results = [{ name, state: 3, exit: 1, stderr: "no hypervisor" }]
      const failed = decided({ results, wants: 0 }, { launch: launchRow(), host: hostRow({ failures: before }) })
      assert.deepEqual([failed.launch?.ending, failed.host.failures], ["failed", before + 1])
      assert.equal(failed.host.notBefore, nowMs + pauseS * 1_000)
      assert.equal(failed.send, null)
      const early = decided({}, { host: failed.host })
      assert.deepEqual([early.send, early.callAfterS], [null, pauseS + 1])
      assert.match(texts(early), /ended with an error; this computer gets another in/)
      assert.equal(decided({ wants: 0 }, { host: { ...failed.host, notBefore: nowMs } }).send?.kind, "new")
    }
  })

  it("that lived long does not count with the failures before it", () => {
    const launch = launchRow({ madeAt: nowMs - LAUNCH_GOOD_MS })
    const results = [{ name: resultName(launch), state: 3, exit: 1 }]
    const { host } = decided({ results }, { launch, host: hostRow({ failures: 4 }) })
    assert.deepEqual([host.failures, host.notBefore], [1, nowMs + LAUNCH_BACKOFF_S[0] * 1_000])
  })

  it("that its volunteer aborted is not followed by another at once; one that the hub ended may be", () => {
    const ended = (exit: number, stopping: string | null) =>
      decided({ results: [{ name, state: 6, exit }] }, { launch: launchRow({ stopping }) })
    const volunteer = ended(203, null)
    assert.deepEqual(
      [volunteer.launch?.ending, volunteer.host.notBefore],
      ["aborted", nowMs + LAUNCH_ABORTED_BACKOFF_S * 1_000],
    )
    const hub = ended(202, "A newer version takes its place.")
    assert.deepEqual([hub.host.failures, hub.send?.kind], [0, "new"])
    assert.equal(ended(202, null).send, null, "that the hub wanted it, only the hub can say")
  })

  it("V3: that ended for want of work is followed by another once there is some, and not at once", () => {
    const results = [{ name, state: 5, exit: 0 }]
    const over = decided({ results, wants: 0 }, { launch: launchRow(), tally: enrolled, hasWork: false })
    assert.deepEqual([over.host.failures, over.host.notBefore, over.send], [0, nowMs + LAUNCH_IDLE_MS, null])
    assert.match(texts(over), /has ended, as it had nothing to do; this computer gets another in 10 minutes/)
    const last = over.launch!
    assert.equal(last.ending, "finished")
    const later = { host: { ...over.host, notBefore: nowMs }, last }
    const none = decided({ wants: 0 }, { ...later, hasWork: false })
    assert.deepEqual([none.send, none.callAfterS], [null, BOINC_CALL_EVERY_S])
    assert.match(texts(none), /no work just now.*BOINC asks again in/)
    // The client asks ever more seldom by itself, having had nothing: what it is called for it need not ask for.
    assert.equal(decided({ wants: 0 }, later).send?.kind, "new")
    assert.equal(decided({ wants: 0, refuses: true }, later).send, null)
  })

  it("V3: is made for a computer that is new here even without work, so that its volunteer sees that it can", () => {
    assert.equal(decided({}, { hasWork: false }).send?.kind, "new")
  })

  it("V13: that somebody aborted in BOINC is said to be that, and counts as no failure of the machine", () => {
    const aborted = decided({ results: [{ name, state: 6, exit: 203 }] }, { launch: launchRow() })
    assert.equal(aborted.host.failures, 0)
    assert.match(texts(aborted), /was aborted in BOINC; this computer gets another in 60 minutes/)
    const later = decided({}, { host: aborted.host, last: aborted.launch })
    assert.match(texts(later), /was aborted in BOINC/)
  })

  it("V13: that was stopped on the hub's page has ended well, whichever of the two was quicker", () => {
    const launch = launchRow({ stopping: "You pressed stop on the hub's page." })
    for (const [state, exit, ending] of [
      [5, 0, "finished"],
      [6, 202, "aborted"],
    ] as const) {
      const host = hostRow({ stopped: true })
      const over = decided({ results: [{ name, state, exit }] }, { host, launch, tally: enrolled })
      assert.deepEqual([over.launch?.ending, over.host.failures, over.host.notBefore], [ending, 0, nowMs])
      assert.doesNotMatch(texts(over), /error/)
    }
  })

  it("of another computer, or of nobody, is stopped where it shows up, and acknowledged without being believed", () => {
    const decision = decided(
      { others: ["vm_4_5_0", "vm_x", name], results: [{ name: "vm_5_5_0", state: 5, exit: 0 }] },
      { launch: launchRow(), tally: enrolled },
    )
    assert.deepEqual([decision.abort, decision.acknowledge], [["vm_4_5_0"], ["vm_5_5_0"]])
    assert.equal(decision.launch?.endedAt, null)
  })

  it("is aborted when its volunteer stops it, and no other comes until they start it", () => {
    const host = hostRow({ stopped: true })
    const stopped = decided({ others: [name] }, { host, launch: launchRow(), tally: enrolled })
    assert.deepEqual([stopped.abort, stopped.send], [[name], null])
    assert.match(stopped.launch?.stopping ?? "", /You pressed stop/)
    const after = decided({ results: [{ name, state: 6, exit: 202 }] }, { host, launch: stopped.launch })
    assert.deepEqual([after.send, after.callAfterS, after.host.failures], [null, BOINC_CALL_EVERY_S, 0])
    assert.match(texts(after), /Press start there/)
    assert.equal(decided({}, { launch: launchRow(), host }).launch?.ending, "lost", "not sent again either")
  })

  it("is aborted when the operator revoked its node, and the computer gets nothing more", () => {
    const node = { revoked: true, drained: false, isIdle: true }
    const revoked = decided({ others: [name] }, { launch: launchRow(), tally: enrolled, node })
    assert.deepEqual([revoked.abort, revoked.host.barred], [[name], true])
    const after = decided(
      { results: [{ name, state: 6, exit: 202 }] },
      { host: revoked.host, launch: revoked.launch, node },
    )
    assert.deepEqual([after.send, after.delayS], [null, BOINC_NOTHING_DELAY_S])
    assert.match(texts(after), /operator .* took this computer out/)
    // Of our own accord: that the launch says.
    const ours = decided(
      { others: [name] },
      { launch: launchRow({ stopping: "You pressed stop" }), tally: enrolled, node },
    )
    assert.equal(ours.host.barred, false)
  })

  it("of an older release takes no more jobs, and makes room when it has none", () => {
    const launch = launchRow({ versionNumber: 99 })
    const busy = decided(
      { others: [name] },
      { launch, tally: enrolled, node: { revoked: false, drained: false, isIdle: false } },
    )
    assert.deepEqual([busy.drain, busy.abort], [true, []])
    const idle = decided(
      { others: [name] },
      { launch, tally: enrolled, node: { revoked: false, drained: false, isIdle: true } },
    )
    assert.deepEqual([idle.drain, idle.abort], [null, [name]])
    assert.match(idle.launch?.stopping ?? "", /newer version/)
  })

  it("has a name that only the same launch has", () => {
    assert.equal(launchIdOf(name), 9)
    for (const other of ["vm_9", "vm_9_5", "vm_x_5_0", "vm_9_5_0_log", "../vm_9_5_0", ""])
      assert.equal(launchIdOf(other), null)
    assert.notEqual(resultName(launchRow({ madeAt: 0 })), name, "a hub made anew does not use it again")
  })
})

describe("a computer that cannot have a launch", () => {
  const cases: readonly (readonly [
    what: string,
    sent: Partial<Sent>,
    known: Partial<Known>,
    says: RegExp,
    delayS?: number,
  ])[] = [
    ["there is no release", {}, { release: null }, /nothing for volunteers yet/],
    ["its client is too old", { version: [6, 12, 34] }, {}, /BOINC 6\.12\.34 is too old .* install 7\.2\.0 or newer/],
    [
      "it holds another key",
      { codeSignKey: "1024\nff\n.\n" },
      {},
      /another key .* remove this project .* add it again/,
    ],
    [
      "there is nothing for its kind",
      { platform: "windows_intelx86" },
      {},
      /no version for this kind of computer.*windows_intelx86.*x86_64-pc-linux-gnu/,
    ],
    [
      "it is FreeBSD, which runs programs of Linux too",
      { platform: "x86_64-pc-freebsd", more: "<alt_platform><name>x86_64-pc-linux-gnu</name></alt_platform>" },
      {},
      /no version for this kind of computer.*x86_64-pc-freebsd/,
    ],
    [
      "its memory is too small",
      { memoryBytes: 1024 ** 3 },
      {},
      /may use 0\.5 GB of this computer's memory, .* needs 1\.0 GB/,
      BOINC_MEND_DELAY_S,
    ],
    [
      "its disk is too small",
      { diskShareBytes: 1024 ** 3 },
      {},
      /may use 0\.8 GB of this computer's disk .* needs 3\.0 GB/,
      BOINC_MEND_DELAY_S,
    ],
  ]
  for (const [what, sent, known, says, delayS = BOINC_NOTHING_DELAY_S] of cases) {
    it(`V16: is told so when ${what}`, () => {
      const decision = decided(sent, known)
      assert.deepEqual([decision.send, decision.delayS], [null, delayS])
      assert.deepEqual(
        decision.messages.map(message => message.priority),
        ["notice"],
      )
      assert.match(texts(decision), says)
    })
  }

  it("V14: is told that its clock is wrong, instead of getting one task after the other that is late by it", () => {
    const at = (aheadDays: number) => ({
      more: `<time_stats><now>${(nowMs + aheadDays * 86_400_000) / 1_000}</now></time_stats>`,
    })
    const ahead = decided(at(40))
    assert.deepEqual([ahead.send, ahead.delayS], [null, BOINC_MEND_DELAY_S])
    assert.match(texts(ahead), /clock is wrong: it is 960 hours ahead.*timedatectl/)
    assert.match(texts(decided(at(-40))), /960 hours late/)
    assert.equal(decided(at(0.9)).send?.kind, "new", "a wrong time zone is borne")
    const working = decided({ ...at(40), others: [name] }, { launch: launchRow(), tally: enrolled })
    assert.match(texts(working), /clock is wrong/)
    assert.deepEqual(working.abort, [])
  })

  it("V14: whose client gave a task up as late, before it was begun, is told why", () => {
    const late = decided({ results: [{ name, state: 6, exit: 200 }] }, { launch: launchRow() })
    assert.match(texts(late), /by this computer's clock its time was over/)
    assert.equal(late.host.failures, 0)
  })

  it("is told what is wrong with VirtualBox where nothing else would do", () => {
    const onlyBox = {
      release: testRelease({ appVersions: release.appVersions.filter(version => version.planClass === "vbox") }),
    }
    assert.match(texts(decided({}, onlyBox)), /does not find it here/)
    assert.match(texts(decided({ virtualBox: "7.0 unusable" }, onlyBox)), /cannot be used/)
    assert.match(
      texts(decided({ virtualBox: "7.0", extensionsDisabled: true }, onlyBox)),
      /switched off in this computer's firmware/,
    )
    assert.equal(decided({ virtualBox: "7.0" }, onlyBox).send?.kind, "new")
  })

  it("V2: with just enough memory gets a launch that has it all, and not one byte more than BOINC may use", () => {
    for (const [memoryBytes, asked] of [
      [2 * 1024 ** 3, 1024 ** 3],
      [2.5 * 1024 ** 3, 1024 ** 3],
      [4 * 1024 ** 3, 1.5 * 1024 ** 3],
    ] as const) {
      const request = parseSchedulerRequest(clientRequest({ memoryBytes }))
      assert.equal(shareOf(request, release.minMemoryBytes).memoryBytes, asked)
      assert.equal(decided({ memoryBytes }).send?.kind, "new")
    }
  })

  it("has the same key however its client breaks the lines", () => {
    assert.equal(decided({ codeSignKey: `\n${release.codeSignKey.replaceAll("\n", "\r\n")}` }).send?.kind, "new")
  })
})
