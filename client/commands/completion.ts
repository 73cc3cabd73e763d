// cah completion bash|zsh|fish: a script made from the command tree itself, so that it can never lag behind it, for cah and for OAR's names.
// Verbs, options and the values of options that have a list are in the script; numbers of campaigns, nodes and digests are asked for at Tab
// (complete.ts). Asks no hub.
import { Argument, type Command, type Option } from "commander"
import { type Kind, kindOf } from "../complete.ts"
import type { Context } from "../context.ts"
import { usage } from "../errors.ts"
import { isRefused } from "../submit/refused.ts"
import { examples, type Verb } from "../verb.ts"

const shells: Readonly<Record<string, (places: readonly Place[]) => string>> = { bash, zsh, fish }

/** The programs are those of the whole tree, which knows this verb itself. */
export function completionOf(programs: () => Promise<readonly Command[]>): Verb {
  return {
    define(command: Command): void {
      command
        .description("Print a completion script for bash, zsh or fish.")
        .addArgument(new Argument("<shell>").choices(Object.keys(shells)))
        .addHelpText(
          "after",
          examples(
            'eval "$(cah completion bash)"              # in ~/.bashrc',
            "cah completion zsh > ~/.zfunc/_cah         # a directory of $fpath",
            "cah completion fish > ~/.config/fish/completions/cah.fish",
          ),
        )
    },

    async run(context: Context, command: Command): Promise<number> {
      const make = shells[command.args[0] ?? ""]
      if (make === undefined) throw usage("Which shell?", `Take one of ${Object.keys(shells).join(", ")}.`)
      const places = (await programs()).flatMap(program => placesOf(program, [program.name()]))
      await context.output.lines(make(places))
      return 0
    },
  }
}

/** Where the cursor may stand: after a program's name, or a verb's. */
interface Place {
  /** "cah", "cah nodes", "cah nodes drain", "oarsub". */
  readonly path: string
  readonly verbs: readonly { readonly name: string; readonly summary: string }[]
  readonly options: readonly Option[]
  /** What its arguments are. */
  readonly kind: Kind | null
  readonly words: readonly string[]
}

function placesOf(command: Command, path: readonly string[]): Place[] {
  const inner = command.commands.filter(one => one.name() !== "help" && !isHidden(command, one))
  const [argument] = command.registeredArguments
  const usual = inner.find(one => one.registeredArguments.length === 0 && one.name() === "ls")
  const own: Place = {
    path: path.join(" "),
    verbs: inner.map(one => ({ name: one.name(), summary: one.summary() })),
    options: [...optionsOf(command), ...(usual === undefined ? [] : optionsOf(usual))],
    kind: argument === undefined ? null : (kindOf[argument.name()] ?? null),
    words: argument?.argChoices ?? [],
  }
  return [own, ...inner.flatMap(one => placesOf(one, [...path, one.name()]))]
}

/** What help does not list. */
function isHidden(parent: Command, command: Command): boolean {
  return !parent.createHelp().visibleCommands(parent).includes(command)
}

function optionsOf(command: Command): readonly Option[] {
  const help = command.createHelp().visibleOptions(command)
  return [
    ...command.options.filter(option => !isRefused(option) && option.description !== ""),
    ...help.filter(option => option.long === "--help"),
  ]
}

function spellings(option: Option): string[] {
  return [option.short, option.long].filter(name => name !== undefined && name !== null)
}

function takesValue(option: Option): boolean {
  return option.required || option.optional
}

type Value = { readonly kind: Kind } | { readonly words: readonly string[] } | "files" | "anything"

const fileNames = new Set(["file", "path", "dir"])

/** "--after <ids>" takes campaigns, "--csv <file>" a file. */
function takenBy(option: Option): Value {
  const name = /[<[](\w+)/.exec(option.flags)?.[1] ?? ""
  if (option.argChoices !== undefined) return { words: option.argChoices }
  const kind = Object.hasOwn(kindOf, name) ? kindOf[name] : undefined
  if (kind !== undefined) return { kind }
  return fileNames.has(name) ? "files" : "anything"
}

/** Where a command of the user's own follows, with its files. */
function takesFiles({ path }: Place): boolean {
  return path === "cah sub" || path === "cah try" || path === "oarsub"
}

function isInner({ path }: Place): boolean {
  return path.includes(" ")
}

function programsOf(places: readonly Place[]): string[] {
  return places.filter(place => !isInner(place)).map(({ path }) => path)
}

// ---- bash -------------------------------------------------------------------------------------------------------

function bash(places: readonly Place[]): string {
  const generate = (value: Value) => {
    if (value === "files") return 'COMPREPLY=($(compgen -f -- "$cur"))'
    if (value === "anything") return ":"
    const words = "kind" in value ? `$(_cah_words ${value.kind})` : value.words.join(" ")
    return `COMPREPLY=($(compgen -W "${words}" -- "$cur"))`
  }
  const values = places.flatMap(({ path, options }) =>
    options.filter(takesValue).map(option => ({
      pattern: spellings(option).map(name => `"${path} ${name}"`),
      does: generate(takenBy(option)),
    })),
  )
  const byAct = new Map<string, string[]>()
  for (const { pattern, does } of values) byAct.set(does, [...(byAct.get(does) ?? []), ...pattern])
  const valueCases = [...byAct].map(([does, patterns]) => `    ${patterns.join("|")}) ${does}; return ;;`)
  const flagCases = places.map(
    ({ path, options }) => `      "${path}") flags="${options.flatMap(spellings).join(" ")}" ;;`,
  )
  const wordCases = places.map(place => {
    const words = [...place.verbs.map(({ name }) => name), ...place.words]
    const value: Value = takesFiles(place) ? "files" : place.kind === null ? { words } : { kind: place.kind }
    return `    "${place.path}") ${generate(value)} ;;`
  })
  const inner = places.filter(isInner).map(({ path }) => `"${path}"`)
  return `# cah completion for bash. Load with: eval "$(cah completion bash)"
_cah_words() { command cah complete "$1" --words 2>/dev/null; }
_cah() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" place word flags=""
  COMPREPLY=()
  place="\${COMP_WORDS[0]##*/}"
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$place $word" in
      ${inner.join("|")}) place="$place $word" ;;
    esac
  done
  case "$place $prev" in
${valueCases.join("\n")}
  esac
  if [[ "$cur" == -* ]]; then
    case "$place" in
${flagCases.join("\n")}
    esac
    COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    return
  fi
  case "$place" in
${wordCases.join("\n")}
  esac
}
complete -o filenames -F _cah ${programsOf(places).join(" ")}
`
}

// ---- zsh --------------------------------------------------------------------------------------------------------

function zsh(places: readonly Place[]): string {
  const quoted = (text: string) =>
    text
      .replaceAll("'", "'\\''")
      .replace(/[[\]:]/g, "\\$&")
      .replace(/\s+/g, " ")
  const specs = (place: Place) =>
    place.options.flatMap(option =>
      spellings(option).map(name => {
        const value = takenBy(option)
        const list =
          value === "files"
            ? "_files"
            : value === "anything"
              ? " "
              : "kind" in value
                ? `->${value.kind}`
                : `(${value.words.join(" ")})`
        return `'*${name}[${quoted(option.description)}]${takesValue(option) ? `:value:${list}` : ""}'`
      }),
    )
  const rest = (place: Place) => {
    const { verbs, kind, words } = place
    if (verbs.length > 0) {
      const list = verbs.map(({ name, summary }) => `${name}\\:"${quoted(summary).replaceAll('"', "")}"`)
      return `'1:verb:((${list.join(" ")}))'`
    }
    if (words.length > 0) return `'1:word:(${words.join(" ")})'`
    if (kind !== null) return `'*:${kind}:->${kind}'`
    return takesFiles(place) ? "'*:file:_files'" : ""
  }
  const inner = places.filter(isInner).map(({ path }) => `"${path}"`)
  const cases = places.map(place => `    "${place.path}") _arguments ${specs(place).join(" ")} ${rest(place)} ;;`)
  const programs = programsOf(places)
  return `#compdef ${programs.join(" ")}
# cah completion for zsh. Put it into a directory of $fpath under the name _cah.
_cah() {
  local place="\${words[1]:t}" state line at=2 from=1
  while (( at < CURRENT )); do
    case "$place \${words[at]}" in
      ${inner.join("|")}) place="$place \${words[at]}"; from=$at ;;
    esac
    (( at++ ))
  done
  words=("\${(@)words[from,-1]}")
  (( CURRENT -= from - 1 ))
  case "$place" in
${cases.join("\n")}
  esac
  if [[ -n "$state" ]]; then
    local -a found
    found=("\${(@f)$(command cah complete $state 2>/dev/null)}")
    found=("\${(@)found//:/\\\\:}")
    found=("\${(@)found/	/:}")
    _describe $state found
  fi
}
if [ "$funcstack[1]" = "_cah" ]; then _cah "$@"; else compdef _cah ${programs.join(" ")}; fi
`
}

// ---- fish -------------------------------------------------------------------------------------------------------

function fish(places: readonly Place[]): string {
  const quoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'").replace(/\s+/g, " ")}'`
  const inner = places.filter(isInner).map(({ path }) => quoted(path))
  const lines = places.flatMap(place => {
    const { path, verbs, options, kind, words } = place
    const program = path.split(" ")[0] ?? ""
    const at = `complete -c ${program} -n ${quoted(`__cah_at "${path}"`)}`
    const dynamic = (what: Kind) => `-x -a ${quoted(`(command cah complete ${what} 2>/dev/null)`)}`
    return [
      ...(takesFiles(place) ? [] : [`${at} -f`]),
      ...verbs.map(({ name, summary }) => `${at} -x -a ${name} -d ${quoted(summary)}`),
      ...(words.length === 0 ? [] : [`${at} -x -a ${quoted(words.join(" "))}`]),
      ...(kind === null ? [] : [`${at} ${dynamic(kind)}`]),
      ...options.map(option => {
        const spelled = spellings(option).map(name =>
          name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`,
        )
        const of = takenBy(option)
        const given =
          of === "files"
            ? "-r -F"
            : of === "anything"
              ? "-x"
              : "kind" in of
                ? dynamic(of.kind)
                : `-x -a ${quoted(of.words.join(" "))}`
        const value = takesValue(option) ? given : ""
        return [at, spelled.join(" "), value, `-d ${quoted(option.description)}`].filter(part => part !== "").join(" ")
      }),
    ]
  })
  return `# cah completion for fish. Put it into ~/.config/fish/completions/cah.fish
function __cah_at
  set -l words (commandline -opc)
  set -l place (basename $words[1])
  for word in $words[2..-1]
    if contains -- "$place $word" ${inner.join(" ")}
      set place "$place $word"
    end
  end
  test "$place" = "$argv[1]"
end
${lines.join("\n")}
`
}
