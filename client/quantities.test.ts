import assert from "node:assert/strict"
import { test } from "node:test"
import { ClientError } from "./errors.ts"
import { parseCount, parseDuration, parseSize, showBytes, showDuration, showTime } from "./quantities.ts"

test("durations are taken as people write them", () => {
  const cases: [string, number][] = [
    ["90s", 90],
    ["1h 15m", 4500],
    ["1h15m", 4500],
    ["2d", 172_800],
    ["1.5h", 5400],
    ["02:30:00", 9000],
    ["0:45:00", 2700],
    ["10min", 600],
    ["100:00:00", 360_000],
  ]
  for (const [text, seconds] of cases) assert.equal(parseDuration(text, "--walltime"), seconds, text)
})

test("what is no duration is refused and named", () => {
  for (const text of ["", "90", "1x", "h", "0s", "-5s", "1:60:00", "1h 15", "1e3s", "00:00:00"]) {
    assert.throws(() => parseDuration(text, "--walltime"), /--walltime/, text)
  }
})

test("F3: a span that two tools read differently is refused with both readings", () => {
  const refused = (text: string) => {
    try {
      parseDuration(text, "--walltime")
    } catch (thrown) {
      if (thrown instanceof ClientError) return `${thrown.message} ${thrown.hint}`
    }
    return ""
  }
  assert.match(
    refused("1:30"),
    /"1:30" is 1h 30m to oarsub and 1m 30s to sbatch\. Write 1h 30m or 1m 30s; or all three parts, 1:30:00 or 0:1:30/,
  )
  assert.match(refused("0:45"), /"0:45" is 45m to oarsub and 45s to sbatch/)
  assert.match(refused("18:00"), /18h to oarsub and 18m to sbatch/)
  assert.match(refused("90"), /90 of what\? Write 90s, 90m or 90h/)
})

test("F3: a moment is shown in local time with its zone", () => {
  const at = new Date(2026, 10, 30, 18, 0, 5).getTime()
  assert.match(showTime(at), /^2026-11-30 18:00:05(Z|[+-]\d\d:\d\d)$/)
  assert.equal(Date.parse(showTime(at).replace(" ", "T")), at)
})

test("sizes are powers of 1024 unless they say B", () => {
  const cases: [string, bigint][] = [
    ["512", 512n],
    ["1K", 1024n],
    ["512M", 536_870_912n],
    ["2g", 2_147_483_648n],
    ["2GiB", 2_147_483_648n],
    ["2GB", 2_000_000_000n],
    ["1.5G", 1_610_612_736n],
    ["1_000 B", 1000n],
  ]
  for (const [text, bytes] of cases) assert.equal(parseSize(text, "--memory"), bytes, text)
  for (const text of ["", "x", "0", "-1G", "1Q", "99999999999T", "1.G"])
    assert.throws(() => parseSize(text, "--memory"), /--memory/, text)
})

test("counts are whole and in range", () => {
  assert.equal(parseCount("1_000_000", "--array", 1, 10_000_000), 1_000_000)
  for (const text of ["0", "-1", "1.5", "", "1e3", "10_000_001", "ten"]) {
    assert.throws(() => parseCount(text, "--array", 1, 10_000_000), /--array/, text)
  }
})

test("durations and sizes are shown in two units at most", () => {
  assert.deepEqual([0.44, 12, 303, 7800, 273_600, 3600].map(showDuration), [
    "0.4s",
    "12s",
    "5m 3s",
    "2h 10m",
    "3d 4h",
    "1h",
  ])
  assert.deepEqual([0, 999, 1000, 1_234_567, 999_999, 5e12].map(showBytes), [
    "0 B",
    "999 B",
    "1.0 kB",
    "1.2 MB",
    "1.0 MB",
    "5.0 TB",
  ])
})
