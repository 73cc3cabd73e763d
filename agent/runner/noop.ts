// A runner that runs nothing: every command ends at once, well. For benchmarks of everything else, chosen by main.ts
// only when asked for by name.
import type { Runner } from "./runner.ts"

const exit = { exitCode: 0, message: "", runMs: 0, cpuMs: 0, peakMemoryBytes: 0 }

export const noopRunner: Runner = {
  owner: null,
  start: () => ({ begun: Promise.resolve(), ended: Promise.resolve(exit), stop: () => {} }),
  killLeftovers: () => Promise.resolve(0),
}
