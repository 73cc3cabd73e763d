// cah completion bash|zsh|fish: a script made from the command tree itself, so that it can never lag behind it.
// Static: verbs, options, the values of options that have a list, and file names elsewhere. Asks no hub.
import type { Command, Option } from "commander"
import type { Context } from "../context.ts"
import { usage } from "../errors.ts"
import { isRefused } from "../submit/refused.ts"
import { examples, type Verb } from "../verb.ts"

const shells: Readonly<Record<string, (root: Command) => string>> = { bash, zsh, fish }

export const completion: Verb = {
  define(command: Command): void {
    command
      .description("Print a completion script for bash, zsh or fish.")
      .argument("<shell>", Object.keys(shells).join(", "))
      .addHelpText(
        "after",
        examples(
          'eval "$(cah completion bash)"                                    # in ~/.bashrc',
          "cah completion zsh > ~/.zfunc/_cah                               # a directory of $fpath",
          "cah completion fish > ~/.config/fish/completions/cah.fish",
        ),
      )
  },

  async run(context: Context, command: Command): Promise<number> {
    const shell = command.args[0] ?? ""
    const make = Object.hasOwn(shells, shell) ? shells[shell] : undefined
    if (make === undefined)
      throw usage(`"${shell}" is not a shell that is known here.`, `Take one of ${Object.keys(shells).join(", ")}.`)
    if (command.parent === null) throw new Error("completion stands outside the tree")
    await context.output.lines(make(command.parent))
    return 0
  },
}

function verbs(root: Command): readonly Command[] {
  return root.commands.filter(command => command.name() !== "help")
}

function options(command: Command): readonly Option[] {
  return [
    ...command.options.filter(option => !isRefused(option)),
    ...command
      .createHelp()
      .visibleOptions(command)
      .filter(option => option.long === "--help"),
  ]
}

function spellings(option: Option): string[] {
  return [option.short, option.long].filter(name => name !== undefined && name !== null)
}

function takesValue(option: Option): boolean {
  return option.required || option.optional
}

function bash(root: Command): string {
  const names = verbs(root).map(verb => verb.name())
  const lists = verbs(root).map(verb => `    ${verb.name()}) words="${options(verb).flatMap(spellings).join(" ")}" ;;`)
  const values = new Map<string, string>()
  const files = new Set<string>()
  for (const option of verbs(root).flatMap(verb => options(verb))) {
    if (!takesValue(option)) continue
    const pattern = spellings(option).join("|")
    if (option.argChoices !== undefined) values.set(pattern, option.argChoices.join(" "))
    else files.add(pattern)
  }
  const valueCases = [...values].map(
    ([pattern, words]) => `    ${pattern}) COMPREPLY=($(compgen -W "${words}" -- "$cur")); return ;;`,
  )
  return `# cah completion for bash. Load with: eval "$(cah completion bash)"
_cah() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" verb="" word words=""
  COMPREPLY=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in
      ${names.join("|")}) verb="$word"; break ;;
    esac
  done
  case "$prev" in
${valueCases.join("\n")}
    ${[...files].join("|")}) COMPREPLY=($(compgen -f -- "$cur")); return ;;
  esac
  case "$verb" in
    "") words="${[...names, ...options(root).flatMap(spellings)].join(" ")}" ;;
    completion) [[ "$cur" == -* ]] || { COMPREPLY=($(compgen -W "${Object.keys(shells).join(" ")}" -- "$cur")); return; } ;;
  esac
  case "$verb" in
${lists.join("\n")}
  esac
  if [[ -z "$verb" || "$cur" == -* ]]; then COMPREPLY=($(compgen -W "$words" -- "$cur"))
  else COMPREPLY=($(compgen -f -- "$cur")); fi
}
complete -o filenames -F _cah cah
`
}

function zsh(root: Command): string {
  const quoted = (text: string) =>
    text
      .replaceAll("'", "'\\''")
      .replace(/[[\]:]/g, "\\$&")
      .replace(/\s+/g, " ")
  const specs = (command: Command) =>
    options(command).flatMap(option =>
      spellings(option).map(name => {
        const list = option.argChoices === undefined ? "_files" : `(${option.argChoices.join(" ")})`
        return `'${name}[${quoted(option.description)}]${takesValue(option) ? `:value:${list}` : ""}'`
      }),
    )
  const cases = verbs(root).map(verb => {
    const rest = verb.name() === "completion" ? `'1:shell:(${Object.keys(shells).join(" ")})'` : "'*:file:_files'"
    return `        ${verb.name()}) _arguments ${specs(verb).join(" ")} ${rest} ;;`
  })
  return `#compdef cah
# cah completion for zsh. Put it into a directory of $fpath under the name _cah.
_cah() {
  local context state line
  _arguments -C ${specs(root).join(" ")} '1:verb:->verb' '*::argument:->argument'
  case $state in
    verb)
      local -a verbs
      verbs=(${verbs(root)
        .map(verb => `'${verb.name()}:${quoted(verb.summary())}'`)
        .join(" ")})
      _describe verb verbs ;;
    argument)
      case $line[1] in
${cases.join("\n")}
      esac ;;
  esac
}
if [ "$funcstack[1]" = "_cah" ]; then _cah "$@"; else compdef _cah cah; fi
`
}

function fish(root: Command): string {
  const quoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'").replace(/\s+/g, " ")}'`
  const names = verbs(root).map(verb => verb.name())
  const lines = ["# cah completion for fish. Put it into ~/.config/fish/completions/cah.fish"]
  for (const verb of verbs(root)) {
    lines.push(
      `complete -c cah -n "not __fish_seen_subcommand_from ${names.join(" ")}" -f -a ${verb.name()} -d ${quoted(verb.summary())}`,
    )
    for (const option of options(verb)) {
      const spelled = [
        option.long === undefined || option.long === null ? "" : ` -l ${option.long.slice(2)}`,
        option.short === undefined || option.short === null ? "" : ` -s ${option.short.slice(1)}`,
      ].join("")
      const value = takesValue(option)
        ? option.argChoices === undefined
          ? " -r -F"
          : ` -x -a ${quoted(option.argChoices.join(" "))}`
        : ""
      lines.push(
        `complete -c cah -n "__fish_seen_subcommand_from ${verb.name()}"${spelled}${value} -d ${quoted(option.description)}`,
      )
    }
  }
  lines.push(
    `complete -c cah -n "__fish_seen_subcommand_from completion" -x -a ${quoted(Object.keys(shells).join(" "))}`,
  )
  return `${lines.join("\n")}\n`
}
