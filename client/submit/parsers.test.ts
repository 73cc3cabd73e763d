// What the parsers of a submission take and what they refuse, as tables: text in, value or error with its place out.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Occasion } from "../../proto/gen/cah/v1/scientist_pb.ts"
import { ClientError } from "../errors.ts"
import { deadlineMs, parseDeadline, parseReservation } from "./moments.ts"
import { parseNotify } from "./notify.ts"
import { parseShape } from "./resources.ts"
import { quoteWords, splitWords, WordError } from "./shellwords.ts"
import { parseSweep, product } from "./sweep.ts"
import { parseCsv, parseJson, parseLines } from "./tables.ts"
import { parseType } from "./types.ts"

const GIB = 1n << 30n

describe("words", () => {
  const good: readonly (readonly [line: string, words: readonly string[]])[] = [
    ["", []],
    ["a  b\tc", ["a", "b", "c"]],
    [`"b c" 'd "e' f\\ g`, ["b c", 'd "e', "f g"]],
    [`a"b"'c'`, ["abc"]],
    [`"" ''`, ["", ""]],
    [`"\\"\\$\\x"`, ['"$\\x']],
  ]
  for (const [line, words] of good) test(`of ${line}`, () => assert.deepEqual(splitWords(line), words))
  for (const [line, column] of [
    ["a 'b", 3],
    ['a"', 2],
    ["ab\\", 3],
  ] as const) {
    test(`of ${line} are refused at column ${column}`, () => {
      assert.throws(
        () => splitWords(line),
        (thrown: unknown) => thrown instanceof WordError && thrown.column === column,
      )
    })
  }
  test("that are quoted come back as they were", () => {
    const words = ["plain", "", "it's", "$HOME `x`", "a\nb", "ü", '"']
    assert.deepEqual(splitWords(quoteWords(words)), words)
  })
})

describe("-l", () => {
  const nothing = { slots: null, memoryBytes: null, diskBytes: null, walltimeSeconds: null }
  const good: readonly (readonly [text: string, shape: object])[] = [
    ["/nodes=1/core=4,walltime=2:00:00", { slots: 4, walltimeSeconds: 7200 }],
    ["nodes=1", { slots: 1 }],
    ["/nodes=1/cpu=2/core=4", { slots: 8 }],
    ["core=4,mem=8G,disk=1.5GiB", { slots: 4, memoryBytes: 8n * GIB, diskBytes: (3n * GIB) / 2n }],
    ["walltime=2", { walltimeSeconds: 7200 }],
    ["walltime=2:30:00", { walltimeSeconds: 9000 }],
    ["walltime=90s", { walltimeSeconds: 90 }],
    [" core=2 , mem=1M ", { slots: 2, memoryBytes: 1n << 20n }],
  ]
  for (const [text, shape] of good) {
    test(`${text} is understood`, () => assert.deepEqual(parseShape(text), { ...nothing, ...shape }))
  }
  const bad: readonly (readonly [text: string, error: RegExp])[] = [
    ["", /it is empty/],
    ["/nodes=2/core=4", /column 8: a job runs on one node, not on 2/],
    ["/nodes=ALL", /column 8: ALL has no meaning/],
    ["/nodes=1+/nodes=1", /column 9: several groups/],
    ["{gpu='YES'}/nodes=1", /column 1: a property in braces/],
    ["core=4,,mem=1G", /column 8: there is nothing between the commas/],
    ["core=x", /column 6: core takes a whole number/],
    ["core", /column 1: core takes a whole number/],
    ["/nodes=1/gpu=1", /column 10: "gpu" is not a resource/],
    ["core=4,mem=8192", /column 12: 8192 of what/],
    ["core=4,mem=lots", /column 12: .*"lots" is not a size/],
    ["walltime=soon", /column 10: .*"soon" is not a duration/],
    ["walltime=1:75", /column 10: .*"1:75" is not a duration/],
    ["walltime=1:30", /column 10: .*"1:30" is 1h 30m to oarsub and 1m 30s to sbatch/],
    ["walltime=0", /column 10: "0" is no time at all/],
    ["walltime=1000", /column 10: .*more than 30 days/],
    ["core=1,core=2", /column 8: resources are given twice/],
    ["mem=1G,memory=2G", /column 8: memory is given twice/],
    ["cpu=100/core=100", /too many for one job: 1024/],
    ["/", /column 1: "" is not a resource/],
  ]
  for (const [text, error] of bad) test(`${text} is refused`, () => assert.throws(() => parseShape(text), error))
})

describe("--sweep", () => {
  const good: readonly (readonly [text: string, values: readonly string[]])[] = [
    ["k=1..4", ["1", "2", "3", "4"]],
    ["k=1..9:4", ["1", "5", "9"]],
    ["k=1..8:4", ["1", "5"]],
    ["k=3..1", ["3", "2", "1"]],
    ["k=-1..1", ["-1", "0", "1"]],
    ["k=0..1:0.25", ["0", "0.25", "0.5", "0.75", "1"]],
    ["k=0..0.3:0.1", ["0", "0.1", "0.2", "0.3"]],
    ["k=008..010", ["008", "009", "010"]],
    ["k=5..5", ["5"]],
    ["k=red,green", ["red", "green"]],
    ["k=a=b", ["a=b"]],
    ["k=1..2,x", ["1..2", "x"]],
    ["k=../a", ["../a"]],
    ["k=a/../b", ["a/../b"]],
    ["k=a..b,c", ["a..b", "c"]],
  ]
  for (const [text, values] of good)
    test(`the values of ${text} are understood`, () => assert.deepEqual(parseSweep(text).values, values))
  const bad: readonly (readonly [text: string, error: RegExp])[] = [
    ["k", /is not NAME=VALUES/],
    ["=1", /is not NAME=VALUES/],
    ["1k=1", /"1k" is not a parameter's name/],
    ["k=", /column 3: there are no values/],
    ["k=a,,b", /column 5: there is nothing between/],
    ["k=1..3:0", /column 8: a step of 0/],
    ["k=1..3:-1", /column 8: from 1 to 3 it cannot go/],
    ["k=1..3:x", /column 8: "x" is not a number/],
    ["k=1..", /column 3: it is not a range/],
    ["k=a..c", /column 3: a\.\.c is no range of numbers/],
    ["k=1..99999999", /more than 10000000 values/],
  ]
  for (const [text, error] of bad)
    test(`the values of ${text} are refused`, () => assert.throws(() => parseSweep(text), error))

  test("makes all combinations, the last one changing fastest", () => {
    const made = product([parseSweep("a=1..2"), parseSweep("b=x,y,z")])
    assert.deepEqual(made.names, ["a", "b"])
    assert.deepEqual(
      made.rows.map(row => row.join("")),
      ["1x", "1y", "1z", "2x", "2y", "2z"],
    )
  })
  test("refuses what is given twice, and more jobs than a campaign may have before it makes them", () => {
    assert.throws(() => product([parseSweep("a=1"), parseSweep("a=2")]), /a is given twice/)
    const large = parseSweep("a=1..100000")
    assert.throws(() => product([large, { ...large, name: "b" }]), /10000000000 combinations are too many/)
    const wide = { name: "a", values: ["x".repeat(10_000)] }
    assert.throws(() => product([wide, { ...large, name: "b" }]), /more than 134217728 bytes/)
  })
})

describe("a CSV file", () => {
  const good: readonly (readonly [text: string, names: readonly string[], rows: readonly (readonly string[])[]])[] = [
    [
      "a,b\n1,2\n3,4",
      ["a", "b"],
      [
        ["1", "2"],
        ["3", "4"],
      ],
    ],
    ["a, b\r\n1, 2\r\n", ["a", "b"], [["1", " 2"]]],
    ['a\n"x, ""y""\nz"\n\nw\n', ["a"], [['x, "y"\nz'], ["w"]]],
    ["a,b\n,\n", ["a", "b"], [["", ""]]],
    ['a\n""\nx\n', ["a"], [[""], ["x"]]],
    ["a\tb\n1,5\t\n", ["a", "b"], [["1,5", ""]]],
    ['a\tb\r\n"x\ty"\t2\r\n', ["a", "b"], [["x\ty", "2"]]],
  ]
  for (const [text, names, rows] of good.filter(([, , rows]) => rows.length > 0)) {
    test(`${/\t|""/.test(text) ? "F22: " : ""}of ${JSON.stringify(text)} is understood`, () => {
      assert.deepEqual(parseCsv("p.csv", text), { names, lines: rows.map(row => JSON.stringify(row)) })
    })
  }
  const bad: readonly (readonly [text: string, error: RegExp])[] = [
    ["", /p\.csv is empty/],
    ["a,b\n", /a header but no rows/],
    [",a\n0,1\n", /line 1, column 1: the first column has no name/],
    ["a,1b\nx,y", /line 1, column 3: "1b" is not a parameter's name/],
    ["a,a\nx,y", /line 1, column 3: a is there twice/],
    ["a,b\n1,2\n1\n", /line 3, column 1: 1 fields, but the header names 2: a, b/],
    ["a,b\n1,2,3\n", /line 2, column 5: 3 fields/],
    ['a\nx\n"y\n', /line 3, column 1: this " is never closed/],
    ['a,b\n1,"y"z\n', /line 2, column 6: after the closing " there is "z"/],
    ['a,b\n1,y"z\n', /line 2, column 4: a " in the middle/],
    ['a,b\n"x\ny",2,3\n', /line 2, column 6: 3 fields/],
    [`a\n${"x".repeat(16 * 1024)}\n`, /line 2: its values have more than 16384 bytes/],
    ["a\n\0\n", /line 2: value 1 holds a NUL/],
  ]
  for (const [text, error] of bad) {
    test(`of ${JSON.stringify(text).slice(0, 30)} is refused`, () =>
      assert.throws(() => parseCsv("p.csv", text), error))
  }
})

describe("a JSON file", () => {
  test("F22: null is empty, as pandas means it, and a value a line is a job a line", () => {
    assert.deepEqual(parseJson("p.json", '[{"a":null,"b":1.5}]').lines, ['["","1.5"]'])
    assert.deepEqual(parseJson("p.json", '{"a":1,"b":null}\r\n\n{"b":"x","a":2}\n'), {
      names: ["a", "b"],
      lines: ['["1",""]', '["2","x"]'],
    })
    assert.deepEqual(parseJson("p.ndjson", '{"a":1}\n').lines, ['["1"]'])
    assert.deepEqual(parseJson("stdin", "1\n2\n").lines, ['["1"]', '["2"]'])
  })

  test("gives its keys, numbers and nested values as texts", () => {
    assert.deepEqual(parseJson("p.json", '[{"a":1,"b":"x"},{"b":[1,2],"a":true}]'), {
      names: ["a", "b"],
      lines: ['["1","x"]', '["true","[1,2]"]'],
    })
    assert.deepEqual(parseJson("p.json", '["x", 2]'), { names: ["value"], lines: ['["x"]', '["2"]'] })
  })
  const bad: readonly (readonly [text: string, error: RegExp])[] = [
    ["", /line 1, column 1: this is not JSON/],
    ["[1,\n 2,\n x]", /line 3, column 2: this is not JSON/],
    ["[1", /line 1, column 3: this is not JSON/],
    ['[{"a" 1}]', /line 1, column 7: this is not JSON/],
    ["[1,]", /line 1, column 4/],
    ["[1] 2", /line 1, column 5/],
    ['["a\nb"]', /line 1, column 2/],
    ['{"a":1}', /it is not an array/],
    ["[]", /the array is empty/],
    ['[{"a":1},\n {"b":1}]', /line 2, column 2 \(element 1\): a is missing/],
    ['[{"a":1},\n {"a":1,"c":2}]', /line 2, column 2 \(element 1\): c is not a key of the first/],
    ['[{"a":"]"},\n 5]', /line 2, column 2 \(element 1\): it is not of the kind of the first/],
    ['{"a":1}\n{"b":1}', /p\.json, line 2: a is missing/],
    ['{"a":1}\n{"a":\n', /line 2, column 6: this line is not JSON/],
    ['{"a":{"0":1,\n"1":2}}', /it is not an array/],
    ["[12345678901234567890]", /would lose digits/],
    ['[{"1":2}]', /"1" is not a parameter's name/],
    ["[{}]", /it has no keys/],
  ]
  for (const [text, error] of bad)
    test(`of the text ${text} is refused`, () => assert.throws(() => parseJson("p.json", text), error))
})

test("a file of lines makes a job of each line, blank ones too", () => {
  assert.deepEqual(parseLines("f", "a b\r\n\n# c\n"), { names: ["line"], lines: ['["a b"]', '[""]', '["# c"]'] })
  assert.throws(() => parseLines("f", ""), /f is empty/)
})

test("a deadline is a moment or a time from now, and lies ahead", () => {
  const now = Date.parse("2026-11-23T12:00:00Z")
  assert.equal(deadlineMs(parseDeadline("2h"), now), now + 7_200_000)
  assert.equal(deadlineMs(parseDeadline("2026-11-30T18:00:00Z"), now), Date.parse("2026-11-30T18:00:00Z"))
  assert.equal(deadlineMs(parseDeadline("2026-11-30T18:00+02:00"), now), Date.parse("2026-11-30T16:00:00Z"))
  assert.equal(deadlineMs(parseDeadline("2026-11-30"), now), new Date(2026, 10, 30, 23, 59, 59).getTime())
  for (const text of ["soon", "2026-02-31 10:00", "2026-13-01", "2026-11-30 25:00", ""]) {
    assert.throws(() => parseDeadline(text), /--deadline/)
  }
  assert.throws(() => deadlineMs(parseDeadline("2026-11-22T00:00Z"), now), /has passed/)
})

test("F3: a clock is a moment of today, here, and never a span", () => {
  const now = new Date(2026, 11, 1, 10, 12).getTime()
  const evening = { atMs: new Date(2026, 11, 1, 18).getTime() }
  for (const text of ["18:00", " 18:00 ", "18:00:00", "2026-12-01 18:00"]) {
    assert.deepEqual([parseDeadline(text, now), parseReservation(text, now).start], [evening, evening], text)
  }
  for (const parse of [parseDeadline, parseReservation]) {
    assert.throws(
      () => parse("9:30", now),
      /9:30 of today has passed\. Tomorrow's is "2026-12-02 09:30:00(Z|[+-]..:..)"/,
    )
    assert.throws(() => parse("36:00", now), /"36:00" is not a (time of day|moment)/)
  }
  assert.deepEqual(parseDeadline("2026-12-01 18:00:00+01:00", now), { atMs: Date.parse("2026-12-01T17:00:00Z") })
  assert.deepEqual(parseDeadline("1h 30m", now), { inSeconds: 5_400 })
  assert.throws(() => parseDeadline("18", now), /neither a moment nor/)
})

test("a type is taken only if the job gets what it says", () => {
  for (const kind of ["idempotent", "besteffort", "container", "noop", "desktop_computing"]) {
    assert.deepEqual(parseType(kind), { kind })
  }
  assert.deepEqual(parseType("inner=last"), { kind: "inner", campaign: "last" })
  for (const [type, error] of [
    ["inner", /in which container\? Write -t inner=ID/],
    ["inner=", /in which container/],
    ["token:x=2", /token counts licences[\s\S]*Accepted: besteffort, container, inner=ID/],
    ["deploy", /nodes here belong to volunteers/],
    ["frobnicate", /"frobnicate" is not a type[\s\S]*Accepted: /],
  ] as const) {
    assert.throws(() => parseType(type), said(error))
  }
})

/** In the message or the hint. */
function said(words: RegExp) {
  return (thrown: unknown) => thrown instanceof ClientError && words.test(`${thrown.message}\n${thrown.hint}`)
}

describe("a reservation", () => {
  // A Monday, here; times without a zone are of this machine.
  const now = new Date(2026, 10, 23, 12, 0, 0).getTime()
  const at = (day: number, hour: number, minute = 0) => new Date(2026, 10, day, hour, minute).getTime()
  const good: readonly (readonly [text: string, start: object, endMs: number | null])[] = [
    ["2026-11-30 18:00:00", { atMs: at(30, 18) }, null],
    ["2026-11-30 18", { atMs: at(30, 18) }, null],
    ["2026-11-30T18:00:00Z", { atMs: Date.parse("2026-11-30T18:00:00Z") }, null],
    ["2026-11-30 8:05, 2026-11-30 9:30", { atMs: at(30, 8, 5) }, at(30, 9, 30)],
    ["18:00", { atMs: at(23, 18) }, null],
    ["18,20:30", { atMs: at(23, 18) }, at(23, 20, 30)],
    ["22:00, 02:00", { atMs: at(23, 22) }, at(24, 2)],
    ["now", { inSeconds: 10 }, null],
    ["2h", { inSeconds: 7_200 }, null],
  ]
  for (const [text, start, endMs] of good) {
    test(`may be written ${JSON.stringify(text)}`, () => {
      const reservation = parseReservation(text, now)
      assert.deepEqual([reservation.start, reservation.end?.atMs ?? null], [start, endMs])
    })
  }
  for (const [text, error] of [
    ["", /column 1: there is no start/],
    ["soon", /column 1: "soon" is not a moment/],
    ["2026-02-31 10:00", /column 1: there is no such moment as "2026-02-31 10:00"/],
    ["2026-11-30", /at what time of 2026-11-30/],
    ["11:00", /has passed/],
    ["2020-01-01 00:00", /has passed/],
    ["18:00, tomorrow", /column 8: "tomorrow" is not a moment/],
    ["2026-11-30 18:00, 2026-11-30 17:00", /column 19: it ends before it begins/],
    ["18:00,", /there is no end/],
    ["18:00, 19:00, 20:00", /column 14: there is more after the end/],
    ["24:00", /"24:00" is not a moment/],
  ] as const) {
    test(`a moment like ${JSON.stringify(text)} is refused with its column`, () =>
      assert.throws(() => parseReservation(text, now), error))
  }
})

describe("--notify", () => {
  test("takes OAR's grammar: some occasions or all, by mail, webhook or command", () => {
    const all = [Occasion.RUNNING, Occasion.ERROR, Occasion.END]
    assert.deepEqual(parseNotify("mail:me@example.org"), {
      occasions: all,
      target: { kind: "mail", address: "me@example.org" },
    })
    assert.deepEqual(parseNotify("[END, error]mail:me@example.org").occasions, [Occasion.END, Occasion.ERROR])
    assert.deepEqual(parseNotify("[END]https://example.org/h?x=1").target, {
      kind: "webhook",
      url: "https://example.org/h?x=1",
    })
    assert.deepEqual(parseNotify(" [ RUNNING ] exec:./done.sh a b").target, { kind: "exec", command: "./done.sh a b" })
  })
  for (const [text, error] of [
    ["", /whom to tell/],
    ["[END]", /whom to tell/],
    ["[END", /column 1: this \[ is never closed/],
    ["[END,INFO]mail:a@b", /column 6: "INFO" never happens here: take some of RUNNING, ERROR, END/],
    ["[WHEN]mail:a@b", /column 2: "WHEN" is not an occasion/],
    ["[]mail:a@b", /column 2: "" is not an occasion/],
    ["me@example.org", /neither mail:, https:\/\/ nor exec:/],
    ["[END]mail:me", /column 6: "me" is not a mail address/],
    ["exec:", /which command/],
    ["https://", /not a URL/],
    ["https://u:p@example.org", /not a URL/],
    ["ftp://example.org", /neither mail:/],
  ] as const) {
    test(`of ${JSON.stringify(text)} is refused with its column`, () => assert.throws(() => parseNotify(text), error))
  }
})
