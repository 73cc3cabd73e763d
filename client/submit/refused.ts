// Flags of oarsub that cannot be kept here. They are known, so that each is refused with its reason and with what to do instead,
// and is never taken for a command or quietly ignored. Hidden from help and completion.
import { Option } from "commander"
import { usage } from "../errors.ts"

const flags: readonly (readonly [spelling: string, why: string, instead: string])[] = [
  ["-I, --interactive", "a job here has no terminal.", "Try the command on your own machine first, then submit it."],
  ["-C, --connect <id>", "nobody can connect to a volunteer's machine.", "Watch the job: cah logs -f ID"],
  [
    "-d, --directory <path>",
    "a job begins in an empty directory of its own, on another machine.",
    "Bring files along with --stagein.",
  ],
  [
    "-O, --stdout <file>",
    "what a job writes stays at the hub, and is not a file here.",
    "Read it with cah logs ID, or fetch it with cah get ID --logs",
  ],
  [
    "-E, --stderr <file>",
    "what a job writes stays at the hub, and is not a file here.",
    "Read it with cah logs ID --stderr, or fetch it with cah get ID --logs",
  ],
  ["--checkpoint <seconds>", "checkpoints are not supported yet.", "A job that is lost begins anew: make jobs short."],
  [
    "--signal <n>",
    "it belongs to --checkpoint, which is not supported yet.",
    "A job is ended by SIGTERM, then SIGKILL.",
  ],
  ["-k, --use-job-key", "jobs have no keys: nothing connects to them.", "Leave it out."],
]

export function refusedFlags(): Option[] {
  const all = flags.map(([spelling, why, instead]) => {
    // A value may or may not follow: either way the answer is the same.
    const option = new Option(spelling, why).hideHelp().helpGroup(REFUSED)
    const refuse = () => {
      throw usage(`${spelling.split(/[ ,]/)[0]}: ${why}`, instead)
    }
    return option.argParser(refuse)
  })
  const queue = new Option("-q, --queue <name>", "only default")
    .hideHelp()
    .helpGroup(REFUSED)
    .argParser(name => {
      if (name === "default") return name
      throw usage(
        `-q: there is no queue ${JSON.stringify(name)}.`,
        "There is one queue: use --priority, or leave it out.",
      )
    })
  return [...all, queue]
}

/** The group of flags that only exist to be refused; no help shows it. */
export const REFUSED = "Refused:"

export function isRefused(option: Option): boolean {
  return option.helpGroupHeading === REFUSED
}

/** Flags without a value, which commander does not give to a parser. */
export function refuseSet(values: Readonly<Record<string, unknown>>): void {
  for (const [spelling, why, instead] of flags) {
    const option = new Option(spelling)
    if (values[option.attributeName()] === true) throw usage(`${spelling.split(/[ ,]/)[0]}: ${why}`, instead)
  }
}
