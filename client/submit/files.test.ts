// Scripts with directives, job files and graphs: what they become, and the line and column of what is wrong in them.
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { describe, test } from "node:test"
import { ignoreRules } from "../../archive/ignore.ts"
import { inOrder } from "./graph.ts"
import { type JobFile, parseJobFile } from "./jobfile.ts"
import { parseScript } from "./script.ts"

describe("a script", () => {
  const parse = (text: string) => parseScript("dir/job.sh", Buffer.from(text))

  test("has the flags of its #OAR and #CAH lines, wherever they stand", () => {
    const { wishes } = parse(
      [
        "#!/bin/bash",
        "#OAR -n wing -l /nodes=1/core=2,walltime=1:00:00",
        '#CAH --env "A=b c" --env B=1',
        "# OAR is not a directive",
        "echo hello",
        "#OAR -t idempotent --array 3",
        "#CAH --env C=2 -l core=1",
        "",
      ].join("\n"),
    )
    assert.deepEqual(
      [wishes.name, wishes.array?.count, wishes.env, wishes.resource?.map(shape => shape.slots)],
      ["wing", 3, { A: "b c", B: "1", C: "2" }, [2, 1]],
    )
  })

  test("is run by the interpreter of its first line", () => {
    const commands: readonly (readonly [first: string, command: readonly string[]])[] = [
      ["echo", ["/bin/sh", "-c", "TEXT", "job.sh"]],
      ["#!/bin/bash -e", ["/bin/bash", "-e", "-c", "TEXT", "job.sh"]],
      ["#!/usr/bin/env python3", ["python3", "-c", "TEXT"]],
      ["#!/usr/bin/env -S perl -w", ["perl", "-w", "-e", "TEXT"]],
      ["#!/usr/bin/python3.11", ["/usr/bin/python3.11", "-c", "TEXT"]],
    ]
    for (const [first, command] of commands) {
      const text = `${first}\nx\n`
      assert.deepEqual(
        parse(text).command,
        command.map(word => (word === "TEXT" ? text : word)),
      )
    }
  })

  const bad: readonly (readonly [text: string, error: RegExp])[] = [
    ["#!/bin/sh\n#OAR --frob\n", /dir\/job\.sh, line 2: unknown option '--frob'/],
    ["#!/bin/sh\n\n#OAR -l /nodes=2\n", /job\.sh, line 3: -l "\/nodes=2", column 8: a job runs on one node/],
    ["#CAH --env 'A=b\n", /line 1, column 12: this ' is never closed/],
    ["#CAH --array\n", /line 1: option '--array <n>' argument missing/],
    ["#CAH ./job\n", /line 1: "\.\/job" is not a flag/],
    ["#CAH --wait\n", /line 1: unknown option '--wait'/],
    ["#OAR -I\n", /line 1: -I: a job here has no terminal/],
    ["#OAR -O out.%jobid%\n", /line 1: -O: what a job writes stays at the hub/],
    ["#OAR -q fast\n", /line 1: -q: there is no queue "fast"/],
    ["#OAR -t type2\n", /line 1: -t: "type2" is not a type/],
    ["#OAR -t cosystem\n", /line 1: -t cosystem: cosystem needs a front-end/],
    ["#OAR -r soon\n", /line 1: -r "soon", column 1: "soon" is not a moment/],
    ["#OAR --notify [INFO]mail:a@b\n", /line 1: --notify "\[INFO\]mail:a@b", column 2: "INFO" never happens here/],
    ["#CAH --notify exec:./x\n", /line 1: --notify: a file does not run commands here/],
    ["#CAH --env A=1\n#CAH --env A=2\n", /line 2: --env: A is set twice/],
    ["#!/usr/bin/awk -f\n{}", /line 1: how "\/usr\/bin\/awk -f" takes a program/],
    [" \n", /is empty/],
    ["a\0b", /NUL/],
    ["x".repeat(48 * 1024 + 1), /larger than 49152 bytes/],
  ]
  for (const [text, error] of bad) {
    test(`of ${JSON.stringify(text).slice(0, 40)} is refused`, () => assert.throws(() => parse(text), error))
  }
})

describe("a job file", () => {
  const parse = (text: string) => parseJobFile("j.yaml", text)
  const one = (text: string) => {
    const file = parse(text)
    assert.equal(file.kind, "job")
    return file.kind === "job" ? file.job : assert.fail()
  }

  test("takes the flags of sub as keys, lists for what repeats, and keys for variables", () => {
    const { command, wishes } = one(`
command: [./render, --size, 007]
name: wing
after_ok: [12, 14]
stageout: ["*.png", out/**]
resource:
  - core=4,mem=8G
  - core=1
env: {SEED: 42, WORDS: a b}
sweep: {x: 1..3, colour: [red, green]}
hold: true
priority: -5
`)
    assert.deepEqual(command, ["./render", "--size", "007"])
    assert.deepEqual(
      [wishes.name, wishes.afterOk, wishes.stageout, wishes.resource?.length, wishes.env, wishes.hold, wishes.priority],
      ["wing", ["12", "14"], ["*.png", "out/**"], 2, { SEED: "42", WORDS: "a b" }, true, -5],
    )
    assert.deepEqual(
      wishes.sweep?.map(axis => axis.values.length),
      [3, 2],
    )
    assert.deepEqual(one("command: |\n  cd x\n  make\nhold: false\n"), { command: ["cd x\nmake\n"], wishes: {} })
    assert.deepEqual(one("command: [./a b]").command, ["exec './a b'"])
  })

  const bad: readonly (readonly [text: string, error: RegExp])[] = [
    ["", /j\.yaml is empty/],
    ["command: [a\nname: x", /j\.yaml, line 2, column \d+: /],
    ["name: x", /line 1, column 1: there is no command/],
    ["command: a\nfrob: 1", /line 2, column 1: "frob" is not a key/],
    ["command: a\narray: many", /line 2, column 8: --array: "many" is not a whole number/],
    ["command: a\nresource:\n  - core=1\n  - nodes=2", /line 4, column 5: -l "nodes=2", column 7/],
    ["command: a\nhold: maybe", /line 2, column 7: hold is either true or false/],
    ["command: a\nname: {x: 1}", /line 2, column 7: name takes no keys/],
    ["command: a\nname:", /line 2, column 6: name wants a text/],
    ["command: a\nname: [[x]]", /line 2, column 8: name wants a text/],
    ["command: a\ncommand: b", /line 2, column 1: /],
    ["command: &x a\nname: *x", /line 2, column 7: aliases are not taken/],
    ["command: !!js/function a", /line 1, column \d+: /],
    ["- a", /line 1, column 1: the file must be keys with values/],
    ["command: []", /line 1, column 10: the command is empty/],
    ["jobs: {}", /line 1, column 7: there are no jobs/],
    ["jobs: {a: {command: x}}\nname: y", /line 2, column 1: "name" cannot stand beside jobs/],
    ["jobs: {1a: {command: x}}", /line 1, column 8: "1a" is not a name/],
    ["jobs: {last: {command: x}}", /"last" is not a name/],
    ["jobs:\n  a:\n    array: 3", /line 3, column 5: there is no command/],
    [`command: ${"[".repeat(20)}${"]".repeat(20)}`, /nested too deeply/],
  ]
  for (const [text, error] of bad) {
    test(`of ${JSON.stringify(text).slice(0, 50)} is refused`, () => assert.throws(() => parse(text), error))
  }
})

describe("a graph", () => {
  const jobs = (text: string) => {
    const file: JobFile = parseJobFile("g.yaml", text)
    return file.kind === "graph" ? inOrder(file.jobs) : assert.fail("no graph")
  }

  test("is put into an order in which each job comes after what it waits for", () => {
    const order = jobs(`
defaults: {walltime: 10m, project: film}
jobs:
  video: {command: ffmpeg, gather: frames}
  report: {command: mail, after: "video, 12", after-ok: [frames, last]}
  frames: {command: ./render, array: 36, walltime: 1h, name: wing}
`)
    assert.deepEqual(
      order.map(job => job.name),
      ["frames", "video", "report"],
    )
    assert.deepEqual(order[1]?.edges, [{ on: "frames", kind: "gather" }])
    assert.deepEqual(order[2]?.edges, [
      { on: "video", kind: "after" },
      { on: "frames", kind: "afterOk" },
    ])
    assert.deepEqual([order[2]?.wishes.after, order[2]?.wishes.afterOk], [["12"], ["last"]])
    assert.deepEqual(
      order.map(({ wishes }) => [wishes.name, wishes.walltime, wishes.project]),
      [
        ["wing", 3600, "film"],
        ["video", 600, "film"],
        ["report", 600, "film"],
      ],
    )
  })

  const bad: readonly (readonly [text: string, error: RegExp])[] = [
    ["jobs:\n  a: {command: x, after: b}\n  b: {command: x, gather: a}", /line 2, column 3: .*circle: a → b → a\./],
    ["jobs:\n  a: {command: x, after: a}", /circle: a → a\./],
    [
      "jobs: {z: {command: x, after: a}, a: {command: x, after: b}, b: {command: x, after: c}, c: {command: x, after: a}}",
      /circle: a → b → c → a\./,
    ],
    ["jobs:\n  a: {command: x, after: nobody}", /line 2, column 3: a waits for "nobody", and there is no such job/],
  ]
  for (const [text, error] of bad) {
    test(`of ${JSON.stringify(text).slice(0, 60)} is refused`, () => assert.throws(() => jobs(text), error))
  }

  test("of a long chain does not exhaust the stack", () => {
    const chain = Array.from({ length: 500 }, (_, n) => `  j${n}: {command: x${n === 499 ? "" : `, after: j${n + 1}`}}`)
    assert.equal(jobs(`jobs:\n${chain.join("\n")}`)[0]?.name, "j499")
  })
})

test("every example of docs/job-files.md is what it says", () => {
  const page = readFileSync(new URL("../../docs/job-files.md", import.meta.url), "utf8")
  const blocks = [...page.matchAll(/^```(\w+)(?: .*)?\n([\s\S]*?)^```$/gm)].map(([, language, text = ""]) => ({
    language,
    text,
  }))
  const files = blocks.filter(({ language }) => language === "yaml").map(({ text }) => parseJobFile("example", text))
  assert.deepEqual(
    files.map(({ kind }) => kind),
    ["job", "graph"],
  )
  const order = files.flatMap(file => (file.kind === "graph" ? inOrder(file.jobs) : []))
  assert.deepEqual(
    order.map(({ name }) => name),
    ["frames", "film", "tell"],
  )
  const script = blocks.find(({ text }) => text.includes("#CAH "))?.text ?? ""
  assert.equal(parseScript("job.sh", Buffer.from(script)).wishes.array?.count, 36)
  const ignored = /\.cahignore\n\n[\s\S]*?\n\n((?: {4}.*\n)+)/.exec(page)?.[1]?.replace(/^ {4}/gm, "") ?? ""
  const packs = ignoreRules(ignored)
  const paths = ["a.o", "start.o", "results", "x/results", "data/x/y.tmp", "y.tmp"]
  assert.deepEqual(
    paths.map(path => packs(path, "file")),
    [false, true, false, true, false, true],
  )
})
