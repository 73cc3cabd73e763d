// cah admin token: tokens with which people and programs ask the hub. A token's secret is shown once, by create; the hub keeps its hash.
import { open } from "node:fs/promises"
import { create as createMessage } from "@bufbuild/protobuf"
import type { Command } from "commander"
import {
  CreateTokenResponseSchema,
  ListTokensResponseSchema,
  type Token,
  TokenSchema,
} from "../../proto/gen/cah/v1/operator_pb.ts"
import type { Scope } from "../../proto/gen/cah/v1/scope_pb.ts"
import type { Context } from "../context.ts"
import { ClientError, usage } from "../errors.ts"
import { table } from "../output.ts"
import { parseDuration } from "../quantities.ts"
import { scopeWords, showMoment } from "../text.ts"
import { examples, type Group, type Verb } from "../verb.ts"

const SCOPES_DEFAULT = "read,submit,cancel"

const create: Verb = {
  define(command: Command): void {
    command
      .description("Make a token for somebody. Its secret is printed this once; with --file it goes there unseen.")
      .argument("<principal>", "who it is for: what they submit will be theirs")
      .option("--scopes <list>", `of read, submit, cancel, admin (${SCOPES_DEFAULT})`)
      .option("--for <time>", "how long it is good, like 90d (for ever)")
      .option("--file <file>", "write the secret there, mode 0600")
      .addHelpText("after", examples("cah admin token create ada --for 90d", "cah admin token create ci --scopes read"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const options = command.opts<{ scopes?: string; for?: string; file?: string }>()
    const [principal = ""] = command.args
    const scopes = parseScopes(options.scopes ?? SCOPES_DEFAULT)
    const lifetimeMs = options.for === undefined ? null : parseDuration(options.for, "--for") * 1000
    // Before the token is made: one whose secret could not be kept would only have to be revoked.
    const file = options.file === undefined ? null : await openNew(options.file)
    const hub = await context.hub()
    const made = await hub.operator.createToken(principal, scopes, lifetimeMs)
    const { output } = context
    if (file !== null) {
      await file.writeFile(`${made.secret}\n`)
      await file.close()
    }
    const shown = file === null ? made : createMessage(CreateTokenResponseSchema, { ...made, secret: "" })
    await output.one(CreateTokenResponseSchema, shown, {
      table: () => shown.secret,
      quiet: () => (file === null ? shown.secret : (shown.token?.id ?? "")),
    })
    const until = made.token?.expiresAt === undefined ? "for ever" : `until ${showMoment(made.token.expiresAt)}`
    const where = file === null ? "It is not shown again." : `It is in ${options.file}.`
    output.note(`Token ${made.token?.id} of ${principal}, to ${wordsOf(scopes)}, good ${until}. ${where}`)
    return 0
  },
}

const ls: Verb = {
  define(command: Command): void {
    command
      .description("List the tokens: whose they are, what they may do, when they were last used. No secrets.")
      .addHelpText("after", examples("cah admin token ls", "cah admin token ls -o csv"))
  },

  async run(context: Context): Promise<number> {
    const tokens = await (await context.hub()).operator.tokens()
    await context.output.many(
      { schema: ListTokensResponseSchema, message: createMessage(ListTokensResponseSchema, { tokens }) },
      { schema: TokenSchema, messages: tokens },
      {
        table: () =>
          table(
            tokens,
            [
              { title: "ID", value: ({ id }) => id },
              { title: "PRINCIPAL", value: ({ principal }) => principal },
              { title: "MAY", value: ({ scopes }) => wordsOf(scopes) },
              { title: "CREATED", value: ({ createdAt }) => showMoment(createdAt) },
              { title: "LAST USED", value: ({ lastUsedAt }) => showMoment(lastUsedAt) },
              { title: "STATE", value: stateOf },
            ],
            context.output.colors,
          ),
        quiet: ({ id }) => id,
      },
    )
    return 0
  },
}

const revoke: Verb = {
  define(command: Command): void {
    command
      .description("Make tokens worthless, from the next message on. Their holders' campaigns go on.")
      .argument("<token...>", "ids, as cah admin token ls lists them")
      .addHelpText("after", examples("cah admin token revoke 0123456789abcdef"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const hub = await context.hub()
    for (const id of command.args) await hub.operator.revokeToken(id)
    await context.output.value(
      { revoked: command.args },
      {
        table: () => command.args.map(id => `Token ${id} is revoked.`).join("\n"),
        quiet: () => command.args.join("\n"),
      },
    )
    return 0
  },
}

export const token: Group = {
  define(command: Command): void {
    command
      .description("Tokens with which people and programs ask the hub.")
      .addHelpText("after", examples("cah admin token create ada --for 90d", "cah admin token ls"))
  },
  verbs: {
    create: { summary: "make one", verb: create },
    ls: { summary: "list them", verb: ls },
    revoke: { summary: "make some worthless", verb: revoke },
  },
  usual: "ls",
}

function parseScopes(text: string): Scope[] {
  return text.split(",").map(word => {
    const found = Object.entries(scopeWords).find(([, known]) => known === word.trim())
    if (found !== undefined) return Number(found[0]) as Scope
    throw usage(`--scopes: "${word.trim()}" is not a scope.`, `Take some of ${Object.values(scopeWords).join(", ")}.`)
  })
}

function wordsOf(scopes: readonly Scope[]): string {
  return scopes.map(scope => scopeWords[scope] ?? "?").join(", ")
}

function stateOf({ revokedAt, expiresAt }: Token): string {
  if (revokedAt !== undefined) return `revoked ${showMoment(revokedAt)}`
  return expiresAt === undefined ? "good" : `good until ${showMoment(expiresAt)}`
}

/** Never over a file that is there: it may be another token. */
async function openNew(path: string) {
  try {
    return await open(path, "wx", 0o600)
  } catch (thrown) {
    const exists = thrown instanceof Error && "code" in thrown && thrown.code === "EEXIST"
    throw exists ? usage(`--file: ${path} is there already.`, "Name a new file.") : ClientError.from(thrown)
  }
}
