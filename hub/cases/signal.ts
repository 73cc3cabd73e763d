// Something has happened: raised by callbacks, waited for by one generator. Raised many times before it is looked at, it
// counts once. Aborting wakes every wait, and nothing is left behind.

export class Signal {
  private raised = false
  private wake: () => void = () => {}
  private readonly abort: AbortSignal

  constructor(abort: AbortSignal) {
    this.abort = abort
  }

  raise(): void {
    this.raised = true
    this.wake()
  }

  /** Until it is raised (then it is lowered again), the call is aborted, or the time is over. */
  async wait(timeoutMs: number): Promise<void> {
    if (!this.raised) await this.sleep(timeoutMs, true)
    this.raised = false
  }

  /** Until the call is aborted or the time is over. */
  pause(ms: number): Promise<void> {
    return this.sleep(ms, false)
  }

  private sleep(ms: number, wakeable: boolean): Promise<void> {
    if (this.abort.aborted) return Promise.resolve()
    return new Promise(resolve => {
      const done = () => {
        clearTimeout(timer)
        this.abort.removeEventListener("abort", done)
        this.wake = () => {}
        resolve()
      }
      const timer = setTimeout(done, ms)
      this.abort.addEventListener("abort", done)
      if (wakeable) this.wake = done
    })
  }
}
