// Flags of oarsub that cannot be kept here, and flags of sbatch that have another name here. They are known, so that each is refused with its reason and with what to do instead,
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
    "A job is ended by SIGTERM, then SIGKILL; --grace 2m is the time between.",
  ],
  ["--time <time>", "that is sbatch's word.", "Write --walltime 1h, or -l walltime=1:00:00"],
  ["--mem <size>", "that is sbatch's word.", "Write -l mem=4G"],
  ["--tmp <size>", "that is sbatch's word.", "Write -l disk=20G"],
  ["-c, --cpus-per-task <n>", "that is sbatch's word.", "Write -l core=4"],
  ["-N, --nodes <n>", "a job has one node.", "Submit more jobs: --array N"],
  ["--ntasks <n>", "a job has one node.", "Submit more jobs: --array N"],
  ["--job-name <name>", "that is sbatch's word.", "Write --name"],
  ["--account <name>", "that is sbatch's word.", "Write --project"],
  ["--partition <name>", "there is one queue.", "Ask for nodes by what they are: -p, see docs/properties.md"],
  ["--constraint <list>", "that is sbatch's word.", "Write -p, like -p \"cpu_flags LIKE '%avx2%'\""],
  ["--gres <list>", "that is sbatch's word.", 'Write -p, like -p "gpu IS NOT NULL"'],
  ["--dependency <list>", "that is sbatch's word.", "Write --after 12, --after-ok 12 or --gather 12"],
  ["--begin <time>", "that is sbatch's word.", 'Write -r "2026-11-30 18:00"'],
  ["--export <list>", "that is sbatch's word.", "Write --env KEY=VALUE, for each that the job needs"],
  ["--wrap <line>", "that is sbatch's word.", "Give the line as the one argument: cah sub 'LINE'"],
  ["--mail-type <list>", "that is sbatch's word.", "Write --notify [END,ERROR]mail:me@example.org"],
  ["--mail-user <address>", "that is sbatch's word.", "Write --notify mail:me@example.org"],
  ["--test-only", "that is sbatch's word.", "Write --dry-run"],
  ["--parsable", "that is sbatch's word.", "Write -o quiet"],
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
