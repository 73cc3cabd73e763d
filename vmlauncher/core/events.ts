// All that may happen to the launcher. Made by the client's side, the hypervisor, the guest's console, the relay and the engine's timer.
import type { NetworkGate } from "./model.ts"

export type Event =
  /** Image verified, hypervisor chosen, leftovers swept. `hasSave`: a saved machine is there, and fits. */
  | { readonly kind: "Prepared"; readonly hasSave: boolean }
  /** `laterSeconds` null: trying again will not help. */
  | { readonly kind: "CannotPrepare"; readonly reason: string; readonly laterSeconds: number | null }
  | { readonly kind: "Started" }
  | { readonly kind: "StartFailed"; readonly reason: string }
  /** Nothing of the machine is left, whoever ended it. */
  | { readonly kind: "Stopped"; readonly reason: string }
  | { readonly kind: "Saved" }
  | { readonly kind: "SaveFailed"; readonly reason: string }
  /** The machine did not do as it was told. */
  | { readonly kind: "CommandFailed"; readonly reason: string }
  /** The host's disk has no room for what the guest writes: the hypervisor has stopped it. */
  | { readonly kind: "DiskFull" }
  /** A line of the console: it lives, which is no proof that it works. */
  | { readonly kind: "Heard" }
  /** A dial to the hub, or a byte for it. */
  | { readonly kind: "Dialled" }
  | { readonly kind: "GuestHello" }
  /** Its agent holds no job, or holds one again. Said anew after each welcome. */
  | { readonly kind: "GuestIdle" }
  | { readonly kind: "GuestBusy" }
  /** It says that it cannot go on: its kernel panicked, or its supervisor gave up. */
  | { readonly kind: "GuestFailed"; readonly reason: string }
  /** By this computer's clock, which is the guest's, the hub's certificate is not valid. */
  | { readonly kind: "ClockDoubted"; readonly reason: string }
  /** The hub does not take the guest's agent as it is: another task is needed. */
  | { readonly kind: "GuestRefused"; readonly reason: string }
  /** The hub told the guest's agent for good to go, since somebody who may has stopped it there: the work is over. */
  | { readonly kind: "GuestDismissed"; readonly reason: string }
  /** More connections than any agent makes. */
  | { readonly kind: "Flooded" }
  | { readonly kind: "SuspendAsked" }
  | { readonly kind: "ResumeAsked" }
  | { readonly kind: "QuitAsked"; readonly reason: string }
  | { readonly kind: "AbortAsked" }
  /** The hub says that the work is over. */
  | { readonly kind: "FinishAsked" }
  | { readonly kind: "NetworkGate"; readonly gate: NetworkGate; readonly isOpen: boolean }
  /** The volunteer allows less memory than the machine has. The client ends the task as one that failed, unless we are quicker. */
  | { readonly kind: "MemoryLowered"; readonly reason: string }
  /** The computer slept. */
  | { readonly kind: "Slept"; readonly ms: number }
  /** Nothing ran here for so long, while the clock went on: this process, or the whole computer, was held. */
  | { readonly kind: "Froze"; readonly ms: number }
  /** So long since the last time the machine would have run and got no processor: the volunteer's share was used up, or others were before it. */
  | { readonly kind: "Held"; readonly ms: number }
  | { readonly kind: "Ticked" }
