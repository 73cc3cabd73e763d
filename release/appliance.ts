// npm run appliance: builds images from recipes, and makes, uses and checks the release key. The command line alone; what is done stands in
// appliance/.
import { readdir } from "node:fs/promises"
import { join, resolve } from "node:path"
import { Command, CommanderError } from "commander"
import { ApplianceError } from "../appliance/errors.ts"
import { describeFiles, describeImage, downloadBytes, grouped } from "../appliance/report.ts"
import { makeKey, readImage, signImage, verifyImage } from "../appliance/signature.ts"
import { needTools } from "../appliance/tools.ts"
import { imageDigest } from "../proto/guest/manifest.ts"
import { bootSeries, describeBoots } from "./appliance/boot.ts"
import { images, makeImage } from "./appliance/make.ts"

const say = (text: string): void => void process.stdout.write(`${text}\n`)

const program = new Command("appliance").description("Builds the guest images that volunteers boot.").exitOverride()

program
  .command("build <recipe>")
  .description("build an image from a recipe")
  .option("--out <dir>", "the image's directory (default: dist/appliance/<name of the recipe>)")
  .option(
    "--mirror <url>",
    "where packages come from [CAH_APT_MIRROR] (default: this machine's own mirror, else the recipe's)",
  )
  .option("--no-iso", "without the ISO for VirtualBox")
  .option("--key <file>", "sign it with this key")
  .action(async (path: string, options: { out?: string; mirror?: string; iso: boolean; key?: string }) => {
    const { manifest, tree, out } = await makeImage(path, { ...options, withIso: options.iso })
    if (options.key !== undefined) await signImage(out, options.key)
    say(`${describeFiles(tree.files)}\n\n${describeImage(manifest)}\n\n${out}`)
  })

program
  .command("key <file>")
  .description("make a release key: <file>, to be kept off line, and <file>.pub")
  .action(async (path: string) => {
    await makeKey(path)
    say(`${path} signs; keep it where no network is. ${path}.pub checks; it goes into the launcher.`)
  })

program
  .command("sign <image>")
  .description("sign an image's manifest")
  .requiredOption("--key <file>", "the release key")
  .action(async (directory: string, { key }: { key: string }) => {
    await signImage(directory, key)
    say(`${directory} is signed`)
  })

program
  .command("verify <image>")
  .description("check an image's signature and each of its files")
  .requiredOption("--key <file>", "the public half of the release key")
  .action(async (directory: string, { key }: { key: string }) => {
    const { name, version } = await verifyImage(directory, key)
    say(`${name} ${version} is what was signed`)
  })

program
  .command("ls")
  .description("the images that were built here")
  .action(async () => {
    for (const name of (await readdir(images).catch(() => [])).sort()) {
      const { manifest: image, bytes, isSigned } = await readImage(join(images, name))
      const size = `${grouped(downloadBytes(image.files))} bytes`
      say(`${image.name}  ${image.version}  ${size}  ${isSigned ? "signed" : "not signed"}  ${imageDigest(bytes)}`)
    }
  })

program
  .command("boot [image]")
  .description("boot an image under QEMU against a hub of its own, and measure how long it takes")
  .option("--times <n>", "how often", "5")
  .option("--memory <MiB>", "of the virtual machine", "512")
  .action(async (image: string | undefined, options: { times: string; memory: string }) => {
    needTools(["qemu-system-x86_64"])
    const boots = await bootSeries({
      image: resolve(image ?? join(images, "base")),
      times: positive(options.times, "--times"),
      memoryMb: positive(options.memory, "--memory"),
      onBoot: (number, boot) => {
        if (boot.kind === "hello") say(`${number}: up ${seconds(boot.upMs)}, hello ${seconds(boot.helloMs)}`)
        else say(`${number}: ${boot.kind}\n${boot.lastLines.map(line => `    ${line}`).join("\n")}`)
      },
    })
    say(describeBoots(boots))
    if (boots.some(boot => boot.kind !== "hello")) process.exitCode = 1
  })

function positive(text: string, flag: string): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text)
  throw new ApplianceError(`${flag} must be a whole number above 0, not "${text}"`)
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`
}

// Asked to end: what was started ends with us, by "exit".
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130))

try {
  await program.parseAsync(process.argv)
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2
  else if (error instanceof ApplianceError) {
    process.stderr.write(`appliance: ${error.message}\n`)
    process.exitCode = 1
  } else throw error
}
