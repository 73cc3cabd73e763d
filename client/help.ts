// What --help and `cah help` print. `--help` is one screen, 24 lines of 80 characters: of a verb with many flags those that most people want.
// `cah help VERB` has all of them, as the manual page does. Only the form: what a flag does is said where it is defined.
import { type Command, Help, type HelpConfiguration } from "commander"
import { usage } from "./errors.ts"

/** Of those that show a first screen now: how they show all. */
const whole = new WeakMap<Command, HelpConfiguration>()

export function firstScreen(command: Command, screen: HelpConfiguration): void {
  whole.set(command, command.configureHelp())
  command.configureHelp({ ...command.configureHelp(), ...screen })
}

export function isFirstScreen(command: Command): boolean {
  return whole.has(command)
}

/** From now on `command` shows all that it has. */
export function showAll(command: Command): void {
  const configuration = whole.get(command)
  if (configuration === undefined) return
  command.configureHelp(configuration)
  whole.delete(command)
}

/** These options by their long names, without headings between them. */
export function only(...options: readonly string[]): HelpConfiguration {
  return {
    visibleOptions: command => new Help().visibleOptions(command).filter(({ long }) => options.includes(long ?? "")),
    formatItemList: (_heading, items) => [...items],
  }
}

/** Groups without blank lines between them. */
export function compactHelp(command: Command): void {
  command.configureHelp({
    ...command.configureHelp(),
    formatItemList: (heading, items, helper) => (items.length === 0 ? [] : [helper.styleTitle(heading), ...items]),
  })
}

/** The verbs on one screen, those of a kind in a line. */
export const verbsOnAScreen: HelpConfiguration = {
  formatHelp: () => `Usage: cah <verb> [flags] [arguments]

Run one command a million times on computers that people lend you.

  sub, try, resub           submit a command; run it once here; submit it again
  ls, show, explain         what there is; its story; why it waits
  wait, progress, top       until the end; how far it is; all that is under way
  get, logs                 fetch results; print what a job wrote
  del, hold, resume         cancel; begin nothing more; go on
  forget, cache             remove what has ended; stageins that the hub keeps
  nodes                     the machines that give computer time
  login, logout, whoami     the token of a hub, and as whom it knows you
  context, config, doctor   hubs by a name; what is set; what is wrong
  admin                     for operators: tokens, enrolments, shares
  completion, version       for your shell; of this program
  help                      all flags of a verb: cah help sub
`,
}

/** `cah help nodes drain`. */
export function explainVerb(program: Command, words: readonly string[]): void {
  let command = program
  for (const word of words) {
    const inner = command.commands.find(one => one.name() === word)
    if (inner === undefined) throw usage(`There is no verb "${words.join(" ")}".`, "See them: cah --help")
    command = inner
  }
  showAll(command)
  command.outputHelp()
}
