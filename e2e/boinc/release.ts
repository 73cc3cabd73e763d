// A release as a project would hand it out, for pieces that go the volunteer's whole way: the launcher and an appliance, signed with two
// keys, neither of which the hub sees. Both come from a checkout; the appliance is its dist/appliance/NAME, built first if it is missing.
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { cp, mkdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { runToEnd } from "../../harness/processes.ts"
import type { ReleaseJson } from "../../hub/front/boinc/release.ts"
import { root } from "../../scripts/files.ts"
import { BoincClient } from "./client.ts"

const run = promisify(execFile)

export interface Made {
  /** For the hub's --release. */
  readonly directory: string
  readonly files: number
  /** As they travel. */
  readonly downloadBytes: number
}

/** Why the volunteer's whole way cannot be gone here, or null. */
export function whyNoVolunteer(tree = root): string | null {
  const parts = ["release/package.ts", "release/appliance.ts"].filter(path => !existsSync(join(tree, path)))
  if (parts.length > 0)
    return `${parts.join(" and ")} are not in this tree: the launcher and the appliance come from there`
  if (!existsSync("/usr/bin/qemu-system-x86_64")) return "there is no QEMU here: apt install qemu-system-x86"
  return BoincClient.missing()
}

export async function makeRelease(place: string, appliance: string, tree = root): Promise<Made> {
  const chore = (script: string, ...args: string[]) =>
    run(process.execPath, ["--import", "tsx", `release/${script}.ts`, ...args], {
      cwd: tree,
      maxBuffer: 64 * 1024 ** 2,
    })
  const [dist, keys, directory] = [join(place, "dist"), join(place, "keys"), join(place, "release")]
  const image = join(tree, "dist/appliance", appliance)
  if (!existsSync(join(image, "manifest.json")))
    await chore("appliance", "build", `appliance/recipes/${appliance}.yaml`, "--no-iso")
  await mkdir(join(dist, "appliance"), { recursive: true })
  await mkdir(keys)
  await cp(image, join(dist, "appliance", appliance), { recursive: true })
  await chore("appliance", "key", join(keys, "image.key"))
  await chore("appliance", "sign", join(dist, "appliance", appliance), "--key", join(keys, "image.key"))
  await chore("package", "vmlauncher", "--release-key", join(keys, "image.key.pub"), "--out", dist)
  const boinc = (...args: string[]) => runToEnd(["--import", "tsx", "release/sign.ts", ...args], {})
  await boinc("key", "--out", keys)
  const key = join(keys, "code-sign.pem")
  await boinc("sign", "--key", key, "--dist", dist, "--appliance", appliance, "--out", directory)
  const { files } = JSON.parse(await readFile(join(directory, "release.json"), "utf8")) as ReleaseJson
  const downloadBytes = files.reduce((sum, { sizeBytes, gzip }) => sum + (gzip?.sizeBytes ?? sizeBytes), 0)
  return { directory, files: files.length, downloadBytes }
}
