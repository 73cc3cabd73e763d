// Flags of OAR's other commands that cannot be kept here: known, so that each is refused with its reason and with what to type instead. Those
// of oarsub stand with the flags of a campaign (submit/refused.ts).
import { type Command, Option } from "commander"
import { usage } from "../errors.ts"
import { REFUSED } from "../submit/refused.ts"

export type Refused = readonly [spelling: string, why: string, instead: string]

export const noSql: Refused = [
  "--sql <where>",
  "no database is asked here.",
  "Name the jobs: cah ls ID --jobs --state failed -o quiet lists them.",
]

/** Hidden from help. What they are given does not matter. */
export function refuse(command: Command, flags: readonly Refused[]): void {
  for (const [spelling, why, instead] of flags) {
    const flag = spelling.split(/[ ,]/)[0]
    const refusal = () => {
      throw usage(`${flag}: ${why}`, instead)
    }
    command.addOption(new Option(spelling, why).hideHelp().helpGroup(REFUSED).argParser(refusal))
    // A flag without a value is given to no parser.
    if (!spelling.includes("<")) command.on(`option:${new Option(spelling).name()}`, refusal)
  }
}
