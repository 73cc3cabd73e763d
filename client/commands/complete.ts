// cah complete: for the completion scripts, which call it at Tab. Hidden; prints words with what they are, a line each, or nothing.
import { type Command, Option } from "commander"
import { type Kind, kinds, lineOf, wordsFor } from "../complete.ts"
import type { Context } from "../context.ts"
import { examples, type Verb } from "../verb.ts"

export const complete: Verb = {
  define(command: Command): void {
    command
      .description("Words for the completion of a shell.")
      .addArgument(command.createArgument("<kind>", kinds.join(", ")).choices([...kinds]))
      .addOption(new Option("--words", "the words alone"))
      .addHelpText("after", examples("cah complete campaigns"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const { words: alone = false } = command.opts<{ words?: boolean }>()
    const words = await wordsFor(context, (command.args[0] ?? "campaigns") as Kind)
    await context.output.lines(
      words
        .map(lineOf)
        .map(line => (alone ? line.split("\t")[0] : line))
        .join("\n"),
    )
    return 0
  },
}
