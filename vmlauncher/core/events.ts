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
  /** It says that it cannot go on: its kernel panicked, or its supervisor gave up. */
  | { readonly kind: "GuestFailed"; readonly reason: string }
  /** The hub told the guest's agent for good to go: this enrolment is over. */
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
  /** The computer slept. */
  | { readonly kind: "Slept"; readonly ms: number }
  | { readonly kind: "Ticked" }
