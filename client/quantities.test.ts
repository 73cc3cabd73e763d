import assert from "node:assert/strict"
import { test } from "node:test"
import { parseCount, parseDuration, parseSize, showBytes, showDuration } from "./quantities.ts"

test("durations are taken as people write them", () => {
  const cases: [string, number][] = [
    ["90s", 90],
    ["1h 15m", 4500],
    ["1h15m", 4500],
    ["2d", 172_800],
    ["1.5h", 5400],
    ["02:30:00", 9000],
    ["45:00", 2700],
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
