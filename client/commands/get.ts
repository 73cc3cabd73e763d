// cah get: results of jobs that have ended, into a directory. May be repeated and interrupted: it goes on where it was.
import { join } from "node:path"
import type { Command } from "commander"
import type { Context } from "../context.ts"
import type { ClientError } from "../errors.ts"
import { checkManifest, writeManifest } from "../manifest.ts"
import { plural, showBytes } from "../quantities.ts"
import { type Fetched, fetchResults } from "../results.ts"
import { findTargets, type Target } from "../targets.ts"
import { examples, type Verb } from "../verb.ts"

interface Options {
  readonly dir?: string
  readonly flat?: boolean
  readonly logs?: boolean
  readonly overwrite?: boolean
  readonly manifest?: string
}

export const get: Verb = {
  define(command: Command): void {
    command
      .description(
        "Fetch the results of jobs that have ended: DIR/<index>/ for each job of an array (00 to 11 of twelve), DIR itself for a " +
          "single job. Goes on where it stopped; checks every digest; never overwrites a file unasked.",
      )
      .argument("<selector...>", "12, 12.7, 12.0-99, @name, last")
      .option("-d, --dir <dir>", "where to (cah-<campaign>); of several, one in it each")
      .option("--flat", "all files of all jobs into DIR itself")
      .option("--logs", "also stdout and stderr of each job")
      .option("--overwrite", "replace files of the same name")
      .option("--manifest <file>", "jobs with parameters and files, as .csv or .json")
      .addHelpText(
        "after",
        `${examples("cah get 12.0-9 --logs", "cah get 12 -d frames --flat --manifest frames.csv")}
\nExit: 7 if bytes did not match their digest or a result was not safe to unpack.`,
      )
  },

  async run(context: Context, command: Command): Promise<number> {
    const options = command.opts<Options>()
    const manifest = options.manifest === undefined ? null : checkManifest(options.manifest)
    const hub = await context.hub()
    const targets = await findTargets(hub, command.args)
    if (targets.length === 0) {
      context.output.note("Nothing to fetch: all your campaigns have ended. Name what you want: cah get last")
    }
    context.onInterrupt = "What came so far is kept; go on with the same command."
    const all: Fetched[] = []
    let firstError: ClientError | null = null
    const places: { target: Target; directory: string; flat: boolean }[] = []
    for (const target of targets) {
      const name = `cah-${target.campaign}`
      const directory = options.dir === undefined ? name : targets.length === 1 ? options.dir : join(options.dir, name)
      const { fetched, error } = await fetchResults(context, hub, target, {
        directory,
        flat: options.flat ?? false,
        logs: options.logs ?? false,
        overwrite: options.overwrite ?? false,
      })
      all.push(fetched)
      places.push({ target, directory, flat: options.flat ?? false })
      if (error !== null && firstError !== null) context.output.error(firstError)
      firstError = error ?? firstError
    }
    if (manifest !== null) {
      const rows = await writeManifest(context, hub, manifest, places)
      context.output.note(`${plural(rows, "job")} in ${manifest}.`)
    }
    await context.output.value(all.length === 1 ? all[0] : all, {
      table: () => all.map(inWords).join("\n"),
      quiet: () => all.map(one => one.directory).join("\n"),
    })
    if (firstError !== null) throw firstError
    return 0
  },
}

function inWords(one: Fetched): string {
  const rest = [
    one.present > 0 ? `${one.present} were here` : "",
    one.empty > 0 ? `${one.empty} left nothing` : "",
    one.notEnded > 0 ? `${one.notEnded} not ended yet` : "",
    one.failed > 0 ? `${one.failed} failed` : "",
  ].filter(text => text !== "")
  const more = rest.length === 0 ? "" : `; ${rest.join(", ")}`
  return `Campaign ${one.campaign}: ${plural(one.fetched, "result")} fetched into ${one.directory} (${showBytes(one.bytes)})${more}.`
}
