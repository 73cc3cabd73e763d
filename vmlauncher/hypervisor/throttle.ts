// Keeps a process to its share of the processors by stopping it (SIGSTOP) when it has had more, and letting it go on when the share has caught up. Works
// without root, everywhere, and takes nothing from a guest that idles. The signal, and not the hypervisor's own pause: that one flushes the
// guest's disks each time and stops its clocks; to the guest this looks like a busy host.
import { CAP_BURST_MS, CAP_TICK_MS } from "../limits.ts"
import { cpuMsOf, signal } from "../process.ts"

export class Throttle {
  readonly #pid: number
  readonly #processors: number
  #percent = 100
  #timer: NodeJS.Timeout | null = null
  #isStopped = false
  #creditMs = 0
  #atMs = 0
  #cpuMs = 0
  #heldMs = 0

  constructor(pid: number, processors: number) {
    this.#pid = pid
    this.#processors = processors
  }

  /** How long it was stopped, all in all, up to the last look. */
  get heldMs(): number {
    return this.#heldMs
  }

  /** Of each processor. 100: not at all. */
  limit(percent: number): void {
    this.#percent = percent
    this.release()
    if (percent < 100) this.hold()
  }

  /** Begins, or goes on after release(). */
  hold(): void {
    if (this.#percent >= 100 || this.#timer !== null) return
    this.#creditMs = 0
    this.#atMs = performance.now()
    this.#cpuMs = cpuMsOf(this.#pid)
    this.#timer = setInterval(() => this.#tick(), CAP_TICK_MS)
  }

  /** Lets it run freely: whoever has something to say to it must be heard at once. */
  release(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    if (this.#isStopped) signal(this.#pid, "SIGCONT")
    this.#isStopped = false
  }

  #tick(): void {
    const nowMs = performance.now()
    const cpuMs = cpuMsOf(this.#pid)
    const share = (this.#percent / 100) * this.#processors
    this.#creditMs += (nowMs - this.#atMs) * share - (cpuMs - this.#cpuMs)
    if (this.#isStopped) this.#heldMs += nowMs - this.#atMs
    // What was not used is not saved up: a guest that idled for an hour may not run wild for the next.
    this.#creditMs = Math.min(this.#creditMs, CAP_BURST_MS * share)
    this.#atMs = nowMs
    this.#cpuMs = cpuMs
    const mustStop = this.#creditMs < 0
    if (mustStop === this.#isStopped) return
    this.#isStopped = mustStop
    signal(this.#pid, mustStop ? "SIGSTOP" : "SIGCONT")
  }
}
