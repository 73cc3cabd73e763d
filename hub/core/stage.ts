// What one event is stepped with. Nothing else is handed from function to function in the core.
import type { Effects } from "./effects.ts"
import type { Now, State } from "./model.ts"

/** One event's view of the world: the state, the moment, and where its effects are gathered. */
export interface Stage {
  readonly state: State
  readonly now: Now
  readonly effects: Effects
}
