import assert from "node:assert/strict"
import { test } from "node:test"
import { type Figure, fit, isMet, median, printed, quantile, ratios } from "./figures.ts"

const figure: Figure = { name: "rate", unit: "jobs/s", subject: "hub", values: [100, 300, 200] }

test("medians and quantiles lie between neighbours", () => {
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([1, 2, 3, 4]), 2.5)
  assert.equal(quantile([0, 100], 0.99), 99)
  assert.ok(Number.isNaN(median([])))
})

test("a line through points is found by least squares", () => {
  const { slope, intercept } = fit([
    [1, 12],
    [2, 14],
    [3, 16],
  ])
  assert.ok(Math.abs(slope - 2) < 1e-9 && Math.abs(intercept - 10) < 1e-9)
})

test("ratios are taken run by run, and a target looks at their median", () => {
  const ratio = { to: "bare hub", values: ratios(figure.values, [200, 300, 800]) }
  assert.deepEqual(ratio.values, [0.5, 1, 0.25])
  assert.equal(isMet({ ...figure, ratio, target: { of: "ratio", min: 0.6 } }), false)
  assert.equal(isMet({ ...figure, ratio, target: { of: "ratio", min: 0.5 } }), true)
  assert.equal(isMet({ ...figure, target: { of: "value", max: 150 } }), false)
  assert.equal(isMet(figure), null)
})

test("a target without the ratio that it is about is not met", () => {
  assert.equal(isMet({ ...figure, target: { of: "ratio", min: 0 } }), false)
})

test("a printed row names what was missed and what was skipped", () => {
  const text = printed({
    name: "noop",
    work: "some jobs",
    figures: [{ ...figure, target: { of: "value", min: 1_000 } }],
    caveats: [],
    skipped: ["a peer: not installed"],
  })
  assert.match(text, /hub: rate, jobs\/s +200 +100 +300 +3 +≥ 1,000 +MISSED/)
  assert.match(text, /skipped: a peer: not installed/)
})
