// What every verb is given: the settled configuration, the output, the signal of Ctrl-C, and a hub opened on demand.
// Opening the hub is where a token is chosen, and the rules about where it may be sent are kept. Nothing else here.
import { Bar, type BarOptions } from "./bars.ts"
import { type Config, checkPlainText } from "./config.ts"
import { checkToken, loadCredentials, readTokenFile } from "./credentials.ts"
import { ClientError } from "./errors.ts"
import type { Hub } from "./library.ts"
import type { Output } from "./output.ts"
import { showDuration } from "./quantities.ts"

export interface Stdin extends AsyncIterable<Buffer | string> {
  readonly isTTY?: boolean
  setRawMode?(mode: boolean): unknown
}

export interface ContextOptions {
  readonly config: Config
  readonly output: Output
  readonly signal: AbortSignal
  readonly stdin: Stdin
  readonly cwd: string
  /** As it was typed, for remarks about that. */
  readonly argv: readonly string[]
}

export class Context {
  readonly config: Config
  readonly output: Output
  readonly signal: AbortSignal
  readonly stdin: Stdin
  readonly cwd: string
  readonly argv: readonly string[]
  /** What to tell a user who interrupts now. */
  onInterrupt = ""
  #bar: Bar | null = null
  #hub: Hub | null = null
  #away = false

  constructor(options: ContextOptions) {
    this.config = options.config
    this.output = options.output
    this.signal = options.signal
    this.stdin = options.stdin
    this.cwd = options.cwd
    this.argv = options.argv
  }

  async hub(): Promise<Hub> {
    this.#hub ??= await this.open(await chooseToken(this.config))
    return this.#hub
  }

  /** With a token that is not stored yet: for login. */
  async open(token: string | null): Promise<Hub> {
    checkPlainText(this.config)
    // Loaded only now: most of what it takes to start is gRPC, and not every verb asks a hub.
    const { Hub } = await import("./library.ts")
    return new Hub({
      url: this.config.hub.value,
      token,
      caFile: this.config.caFile.value,
      signal: this.signal,
      onWait: (error, ms) => this.hubIsAway(error, ms),
    })
  }

  /** Tells once per absence; a hub that comes back is told by hubIsBack. */
  hubIsAway(error: ClientError, ms: number): void {
    if (this.#away) return
    this.#away = true
    this.#bar?.clear()
    this.output.warn(`${error.message} Trying again in ${showDuration(ms / 1000)} …`)
  }

  hubIsBack(): void {
    if (!this.#away) return
    this.#away = false
    this.#bar?.clear()
    this.output.warn(`The hub at ${this.config.hub.value.origin} is back.`)
  }

  /** A remark for people while something is drawn. */
  note(text: string): void {
    this.#bar?.clear()
    this.output.note(text)
  }

  /** The one bar on the terminal; a new one takes the place of the old. */
  bar(options: BarOptions): Bar {
    this.#bar?.stop()
    const { config, output } = this
    this.#bar = new Bar(output.stderr, {
      ...options,
      lines: config.progress,
      dumb: config.terminal.dumb,
      // Programs that read JSON get lines of words only if they asked for them.
      off: output.format === "quiet" || (output.format !== "table" && !config.progress),
    })
    return this.#bar
  }

  close(): void {
    this.#bar?.stop()
    this.#hub?.close()
  }
}

async function chooseToken(config: Config): Promise<string> {
  const url = config.hub.value.origin
  if (config.tokenFile.value !== null || config.token !== null) {
    // A stranger's directory may choose a hub, but then it gets only what was stored for that very hub.
    if (config.hubFromDirectory) {
      const origin = config.tokenFile.value === null ? "CAH_TOKEN" : config.tokenFile.origin
      throw new ClientError(
        "permission_denied",
        `The hub ${url} was chosen by ${config.hub.origin}; ${origin} is not sent there.`,
        {
          hint: `If you mean that hub, say so: --hub ${url}`,
        },
      )
    }
    const file = config.tokenFile
    if (file.value !== null && (file.origin === "--token-file" || config.token === null)) {
      return readTokenFile(file.value, file.origin)
    }
    if (config.token !== null) return checkToken(config.token, "CAH_TOKEN")
  }
  const { tokens } = await loadCredentials(config.paths.credentials)
  const token = Object.hasOwn(tokens, url) ? tokens[url] : undefined
  if (token !== undefined) return token
  throw new ClientError("unauthenticated", `You are not logged in to ${url}.`, {
    hint: `Type: cah login --hub ${url}\nOr name a file that holds your token: --token-file FILE`,
  })
}
