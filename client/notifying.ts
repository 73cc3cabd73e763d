// Commands of `--notify exec:`, run here while cah waits: each at its first occasion, with OAR's arguments (number, name, occasion, a
// sentence). What a command prints goes to stderr. One that fails is said, and stops nothing.
import { spawn } from "node:child_process"
import { type Campaign, Outcome } from "../proto/gen/cah/v1/job_pb.ts"
import { Occasion } from "../proto/gen/cah/v1/scientist_pb.ts"
import type { Context } from "./context.ts"
import { plural } from "./quantities.ts"
import { type NotifyWish, occasionWords } from "./submit/notify.ts"
import { hasEnded, outcomeWords, tally } from "./text.ts"

export class Notifying {
  readonly #context: Context
  readonly #wishes: ReadonlyMap<bigint, readonly NotifyWish[]>
  readonly #told = new Set<string>()
  readonly #running: Promise<void>[] = []

  /** By the number of the campaign that they are about. */
  constructor(context: Context, wishes: ReadonlyMap<bigint, readonly NotifyWish[]>) {
    this.#context = context
    this.#wishes = wishes
  }

  /** The campaign as it is now. */
  see(campaign: Campaign): void {
    for (const occasion of occasionsOf(campaign)) {
      const key = `${campaign.id} ${occasion}`
      if (this.#told.has(key)) continue
      this.#told.add(key)
      for (const { occasions, target } of this.#wishes.get(campaign.id) ?? []) {
        if (target.kind !== "exec" || !occasions.includes(occasion)) continue
        const words = [String(campaign.id), campaign.name, occasionWords[occasion] ?? "?", sentenceOf(campaign)]
        this.#running.push(this.#run(target.command, words))
      }
    }
  }

  /** Until the commands have ended. */
  async finish(): Promise<void> {
    await Promise.all(this.#running)
  }

  #run(command: string, words: readonly string[]): Promise<void> {
    return new Promise(resolve => {
      // Stdout is data, and theirs is not ours.
      const child = spawn("/bin/sh", ["-c", `${command} "$@"`, "cah", ...words], { stdio: ["ignore", 2, 2] })
      const say = (how: string) => {
        this.#context.output.warn(`--notify exec:${command} ${how}.`)
        resolve()
      }
      child.once("error", error => say(`could not be run: ${error.message}`))
      child.once("exit", (code, signal) => (code === 0 ? resolve() : say(`ended with ${code ?? signal}`)))
    })
  }
}

function occasionsOf(campaign: Campaign): Occasion[] {
  const { counts } = campaign
  const { ended, unwell } = tally(campaign)
  const occasions: Occasion[] = []
  if ((counts?.running ?? 0) > 0 || (counts?.returning ?? 0) > 0 || ended > 0) occasions.push(Occasion.RUNNING)
  // What its owner cancelled is no error.
  if (unwell > (counts?.cancelled ?? 0)) occasions.push(Occasion.ERROR)
  if (hasEnded(campaign)) occasions.push(Occasion.END)
  return occasions
}

function sentenceOf(campaign: Campaign): string {
  const { total, ended, finished } = tally(campaign)
  const { failed = 0, timedout = 0, lost = 0, cancelled = 0 } = campaign.counts ?? {}
  const bad = (
    [
      [failed, Outcome.FAILED],
      [timedout, Outcome.TIMEDOUT],
      [lost, Outcome.LOST],
      [cancelled, Outcome.CANCELLED],
    ] as const
  ).flatMap(([count, outcome]) => (count > 0 ? [`${count} ${outcomeWords[outcome]}`] : []))
  return `${ended} of ${plural(total, "job")} ended: ${[`${finished} finished`, ...bad].join(", ")}`
}
