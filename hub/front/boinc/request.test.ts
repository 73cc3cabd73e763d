import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { BOINC_LIST_MAX, BOINC_STDERR_CHARACTERS } from "../../limits.ts"
import { clientRequest } from "./client.suite.ts"
import { authenticatorOf, parseSchedulerRequest } from "./request.ts"
import { element, escapeXml, readXml } from "./xml.ts"

describe("a scheduler request", () => {
  it("is read as the stock client writes it", () => {
    const request = parseSchedulerRequest(
      clientRequest({
        hostId: 7,
        sequence: 12,
        clientStarted: 1_700_000_000,
        virtualBox: "7.0.20",
        codeSignKey: "1024\nab\n.\n",
        crossId: "d".repeat(32),
      }),
    )
    assert.deepEqual(
      {
        ...request,
        host: {
          ...request.host,
          facts: { os_name: request.host.facts.os_name, boinc_version: request.host.facts.boinc_version },
        },
      },
      {
        authenticator: "a".repeat(32),
        hostId: 7,
        sequence: 12,
        clientStarted: 1_700_000_000,
        clientVersion: [7, 20, 5],
        platforms: ["x86_64-pc-linux-gnu"],
        wantsWork: true,
        refusesWork: false,
        codeSignKey: "1024\nab\n.",
        crossId: "d".repeat(32),
        webPreferences: "",
        host: {
          name: "attic",
          cpid: "c".repeat(32),
          processors: 4,
          memoryBytes: 8 * 1024 ** 3,
          virtualBox: "7.0.20",
          extensionsDisabled: false,
          facts: { os_name: "Linux Debian", boinc_version: "7.20.5" },
        },
        graphicsCards: 0,
        isAlone: true,
        limits: { processorsPercent: 100, memoryPercent: 50, diskBytes: 50 * 1024 ** 3 },
        reported: [],
        inProgress: [],
        messages: [],
        clientNow: 0,
      },
    )
  })

  it("tells what the volunteer allows, and takes 0 for no limit as the client does", () => {
    const limits = (preferences: Record<string, number>) => parseSchedulerRequest(clientRequest({ preferences })).limits
    assert.equal(limits({ max_ncpus_pct: 0 }).processorsPercent, 100)
    assert.equal(limits({ max_ncpus_pct: 25 }).processorsPercent, 25)
    assert.equal(limits({ max_ncpus_pct: 250 }).processorsPercent, 100)
    assert.equal(limits({ ram_max_used_busy_pct: 70, ram_max_used_idle_pct: 60 }).memoryPercent, 60)
  })

  it("lists results with the end of what their programs said, whatever that looks like", () => {
    const evil = "no ]]> <b> &amp; </stderr_txt></result><result><name>forged</name>"
    const request = parseSchedulerRequest(
      clientRequest({
        results: [
          { name: "vm_1_5_0", state: 5, exit: 0, stderr: "fine" },
          { name: "vm_2_5_0", state: 3, exit: -9, stderr: evil },
          { name: "vm_3_5_0", state: 6, exit: 203, stderr: `${"x".repeat(70_000)}the end` },
        ],
        others: ["vm_4_5_0", "vm_5_5_0"],
      }),
    )
    assert.deepEqual(
      request.reported.map(({ name, state, exitStatus }) => [name, state, exitStatus]),
      [
        ["vm_1_5_0", 5, 0],
        ["vm_2_5_0", 3, -9],
        ["vm_3_5_0", 6, 203],
      ],
    )
    assert.equal(request.reported[0]?.stderr, "fine")
    assert.match(request.reported[1]?.stderr ?? "", /^no \]\]> <b>/)
    assert.equal(request.reported[2]?.stderr.length, BOINC_STDERR_CHARACTERS)
    assert.match(request.reported[2]?.stderr ?? "", /the end$/)
    assert.deepEqual(request.inProgress, ["vm_4_5_0", "vm_5_5_0"])
  })

  it("V16: with what a program said that looks like the request's own tags is read to its end", () => {
    const said = [
      "</stderr_out></result>",
      "a\n</stderr_out>\n</result>\nb",
      "a\n]]>\n</stderr_out>\n</result>\nb",
      "a\n</stderr_txt>\n]]>\n</stderr_out>\n</result>\n</scheduler_request>\nb",
      "<stderr_out>",
      "<![CDATA[ ]]> <stderr_out><![CDATA[",
      "<!DOCTYPE x>",
    ]
    for (const stderr of said) {
      const results = [{ name: "vm_1_5_0", state: 3, exit: 1, stderr: `before ${stderr} after` }]
      const request = parseSchedulerRequest(clientRequest({ results, others: ["vm_4_5_0"] }))
      const [{ name, stderr: kept } = { name: "", stderr: "" }] = request.reported
      assert.deepEqual([name, request.inProgress, request.host.name], ["vm_1_5_0", ["vm_4_5_0"], "attic"], stderr)
      assert.match(kept, /^before [\s\S]* after$/, stderr)
    }
  })

  it("finds the account key without reading the rest, and only where the client puts it", () => {
    assert.equal(authenticatorOf(clientRequest({ key: "b".repeat(32) })), "b".repeat(32))
    assert.equal(authenticatorOf(`${" ".repeat(5_000)}<authenticator>x</authenticator>`), "")
    assert.equal(authenticatorOf("nothing"), "")
  })

  it("lists trickles by variety", () => {
    const more =
      "<msg_from_host>\n<result_name>vm_1_5_0</result_name>\n<time>1</time>\n<variety>vmstatus</variety>\n<vm_state>running</vm_state>\n</msg_from_host>\n"
    assert.deepEqual(parseSchedulerRequest(clientRequest({ more })).messages, [
      { result: "vm_1_5_0", variety: "vmstatus", ground: null },
    ])
  })

  it("is refused in a sentence when it is something else", () => {
    const deep = `<scheduler_request>${"<a>".repeat(200)}</scheduler_request>`
    const many = clientRequest({ others: Array.from({ length: BOINC_LIST_MAX + 1 }, (_, at) => `vm_${at}_5_0`) })
    for (const [text, message] of [
      ["", /no <scheduler_request>/],
      ["hello", /no <scheduler_request>/],
      ["<html></html>", /no <scheduler_request>/],
      ["<scheduler_request", /no <scheduler_request>/],
      [deep, /no <scheduler_request>: Maximum nested/],
      [many, /more than 1000 results/],
      ["<scheduler_request><a>1</b></a><c>2</c></scheduler_request>", /tags do not match/],
      [`<scheduler_request>${"<a/>".repeat(20_000)}</scheduler_request>`, /more than 16000 tags/],
      [`<!DOCTYPE x [<!ENTITY a "b">]>${clientRequest()}`, /entities are not read/],
      ["<scheduler_request><__proto__>x</__proto__></scheduler_request>", /no <scheduler_request>/],
    ] as const) {
      assert.throws(() => parseSchedulerRequest(text), { name: "CahError", code: "invalid_argument", message })
    }
  })

  it("makes sense of numbers that make none", () => {
    const text = clientRequest({ hostId: -4, sequence: 1e300 })
      .replace(/<p_ncpus>4/, "<p_ncpus>NaN")
      .replace(/<m_nbytes>[^<]*/, "<m_nbytes>lots")
    const request = parseSchedulerRequest(text)
    assert.deepEqual(
      [request.hostId, request.sequence, request.host.processors, request.host.memoryBytes],
      [0, 0, 1, 0],
    )
  })

  it("O13: takes no exit status that the database could not, and with it everybody's transaction", () => {
    for (const exit of [1e300, -1e300, 2 ** 64]) {
      const results = [{ name: "launch_1", state: 5, exit }] as const
      assert.equal(parseSchedulerRequest(clientRequest({ results })).reported[0]?.exitStatus, 0)
    }
  })
})

describe("XML", () => {
  it("knows five entities and expands no other", () => {
    const root = readXml("<r><a>&lt;&gt;&amp;&quot;&apos;</a><b>&evil; &#65;</b></r>", "r")
    assert.equal(root.text("a"), `<>&"'`)
    assert.equal(root.text("b"), "&evil; &#65;")
  })

  it("is written so that whatever it holds comes back as it was, but for control characters", () => {
    const value = `a <b> & "c" 'd' ü 漢\u0000\u001b\n`
    const root = readXml(`<r>${element("a", value)}</r>`, "r")
    assert.equal(root.text("a"), `a <b> & "c" 'd' ü 漢`)
    assert.doesNotMatch(escapeXml(value), /[\p{Cc}<>"']/u)
  })

  it("takes a tag without content, or with 1 in it, for yes", () => {
    const root = readXml("<r><a/><b>1</b><c>0</c></r>", "r")
    assert.deepEqual([root.flag("a"), root.flag("b"), root.flag("c"), root.flag("d")], [true, true, false, false])
    assert.deepEqual([element("x", true), element("x", false), element("x", null)], ["<x/>\n", "", ""])
  })

  it("is no way to what objects bring with them", () => {
    const root = readXml("<r><a>1</a></r>", "r")
    for (const name of ["constructor", "toString", "hasOwnProperty", "__proto__"]) assert.equal(root.text(name), "")
  })
})
