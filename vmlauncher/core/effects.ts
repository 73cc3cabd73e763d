// All that the core may ask for, carried out in this order by the engine.
import type { Ending } from "./model.ts"

export type Effect =
  /** Ends in Started or StartFailed. `fromSave`: goes on where the saved machine stood; that save is used up, whatever happens. */
  | { readonly kind: "Start"; readonly fromSave: boolean }
  | { readonly kind: "Pause" }
  | { readonly kind: "Resume" }
  /** Pauses, writes the memory to disk, ends the machine. Ends in Saved or SaveFailed. */
  | { readonly kind: "Save" }
  /** Presses the power button. Stopped follows, if the guest hears it. */
  | { readonly kind: "PowerDown" }
  /** At once, whatever else is under way. Ends in Stopped. */
  | { readonly kind: "Destroy" }
  | { readonly kind: "DiscardSave" }
  /** Whether the relay lets anything through. */
  | { readonly kind: "OpenNetwork"; readonly isOpen: boolean }
  /** Connections to the hub are cut, so that the guest dials anew at once instead of waiting for a dead one. */
  | { readonly kind: "DropConnections" }
  /** A plain sentence for whoever reads the log. */
  | { readonly kind: "Say"; readonly message: string }
  /** The last effect: tell the client and go. */
  | { readonly kind: "End"; readonly ending: Ending }
