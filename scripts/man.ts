// The manual page of cah, made from its command tree so that it can never lag behind it: `npm run man` writes docs/man/cah.1, and a test
// finds it stale. Only formats; what a flag does is said where the flag is defined.
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { pathToFileURL } from "node:url"
import type { Command, Option } from "commander"
import { agentDescription, agentFlags } from "../agent/config.ts"
import { showAll } from "../client/help.ts"
import { isRefused } from "../client/submit/refused.ts"
import { wholeTree } from "../client/tree.ts"
import { clientVersion } from "../client/version.ts"
import { flagText } from "../common/settings/print.ts"
import { root } from "./files.ts"

const file = "docs/man/cah.1"

export async function manual(): Promise<string> {
  const program = await wholeTree()
  const hidden = new Set(program.options.map(option => option.long))
  return [
    `.TH CAH 1 "" "clouds-at-home ${clientVersion()}" "User commands"`,
    ".SH NAME",
    "cah \\- run one command a million times on computers that people lend you",
    ".SH SYNOPSIS",
    ".B cah",
    "\\fIverb\\fR [\\fIflags\\fR] [\\fIarguments\\fR]",
    ".SH DESCRIPTION",
    "The names oarsub, oarstat, oardel, oarhold, oarresume and oarnodes are links to this program, with the flags and answers of OAR.",
    ".SH VERBS",
    ...program.commands.filter(isShown).flatMap(verb => verbLines("cah", verb, hidden)),
    ".SH FLAGS OF EVERY VERB",
    ...program.options.flatMap(optionLines),
    ".SH MORE",
    ...verbatim(afterOf(program)),
    "",
  ].join("\n")
}

/** Of the agent, for its package. */
export function agentManual(): string {
  return [
    `.TH CAH\\-AGENT 1 "" "clouds-at-home ${clientVersion()}" "User commands"`,
    ".SH NAME",
    "cah\\-agent \\- run the jobs of a clouds-at-home hub on this machine",
    ".SH SYNOPSIS",
    ".B cah\\-agent",
    "[\\fIflags\\fR]",
    ".SH DESCRIPTION",
    line(agentDescription),
    line("A flag counts before the environment variable that is named with it, and that before the file."),
    ".SH FLAGS",
    ...Object.entries(agentFlags).flatMap(([name, flag]) => flagLines(flagText(name, flag), flag.help)),
    ".SH FILES",
    ".TP",
    "/etc/cah/agent.toml",
    line("Settings by the names of the flags, without the dashes before them."),
    ".SH EXIT STATUS",
    line("0 when it was told to stop; 1 when it cannot go on; 2 for wrong use; 4 when the hub sent this node away."),
    "",
  ].join("\n")
}

/** What help lists without a line about it is for programs. */
function isShown(verb: Command): boolean {
  return verb.name() !== "help" && verb.summary() !== ""
}

/** A verb, or a group with its verbs after it. */
function verbLines(before: string, verb: Command, hidden: ReadonlySet<string | undefined>): string[] {
  const name = `${before} ${verb.name()}`
  if (verb.commands.length > 0) return verb.commands.flatMap(inner => verbLines(name, inner, hidden))
  const words = verb.registeredArguments.map(argument => {
    const name = `${argument.name()}${argument.variadic ? "..." : ""}`
    return argument.required ? `<${name}>` : `[${name}]`
  })
  const options = verb.options.filter(option => !isRefused(option) && !hidden.has(option.long))
  return [
    `.SS "${plain([name, "[flags]", ...words].join(" "))}"`,
    line(verb.description().replaceAll("\n", " ")),
    ...options.flatMap(optionLines),
    ...verbatim(afterOf(verb).replace(/\n*Every verb takes.*\n*$/, "")),
  ]
}

function optionLines({ flags, description }: Option): string[] {
  return flagLines(flags, description)
}

function flagLines(flag: string, help: string): string[] {
  return [".TP", `\\fB${plain(flag)}\\fR`, line(help)]
}

/** What commander adds after the help: examples, exit codes. Only its own printing knows it. */
function afterOf(command: Command): string {
  let text = ""
  command.configureOutput({
    writeOut: written => {
      text += written
    },
  })
  showAll(command)
  const alone = command.helpInformation()
  command.outputHelp()
  return text.startsWith(alone) ? text.slice(alone.length) : text
}

function verbatim(text: string): string[] {
  const lines = text.split("\n").map(plain)
  while (lines[0]?.trim() === "") lines.shift()
  while (lines.at(-1)?.trim() === "") lines.pop()
  return lines.length === 0
    ? []
    : [".PP", ".nf", ...lines.map(line => (/^[.']/.test(line) ? `\\&${line}` : line)), ".fi"]
}

function line(text: string): string {
  const escaped = plain(text)
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped
}

function plain(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll('"', "\\(dq").replaceAll("…", "...")
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  mkdirSync(dirname(join(root, file)), { recursive: true })
  writeFileSync(join(root, file), await manual())
}
