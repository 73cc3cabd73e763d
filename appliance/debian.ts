// Debian's side of an image: which mirror and as of when, and the call of mmdebstrap that makes the root file system as a tar, without being
// root. What comes from a mirror is signed by Debian and checked by apt. The guest's own apt gets the public address, wherever
// the packages came from, so that the image is the same whichever mirror was near.
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ApplianceError } from "./errors.ts"
import type { Recipe } from "./recipe.ts"
import { output, type Run } from "./tools.ts"

/** Where packages come from: the suite itself, and its updates of two kinds. */
export interface Sources {
  readonly main: string
  readonly security: string
  readonly suite: string
  /** An archive's Release files have run out, as they should. */
  readonly isOld: boolean
}

/** A mirror named by --mirror or CAH_APT_MIRROR, else those that this machine uses itself, else the recipe's. A snapshot is only to be had where snapshots are. */
export async function chooseSources(recipe: Recipe, mirror: string | null): Promise<Sources> {
  const { suite, snapshot } = recipe
  if (snapshot !== null) {
    const base = (mirror ?? "http://snapshot.debian.org/archive/debian").replace(/\/$/, "")
    return { main: `${base}/${snapshot}`, security: `${siblingOf(base)}/${snapshot}`, suite, isOld: true }
  }
  const near = mirror === null ? await machineMirrors() : { main: mirror.replace(/\/$/, ""), security: null }
  const main = near.main ?? recipe.mirror
  return { main, security: near.security ?? siblingOf(main), suite, isOld: false }
}

/** Security updates lie beside the archive, by Debian's habit. */
function siblingOf(main: string): string {
  return `${main}-security`
}

/** What this machine's own apt uses for Debian; nothing on other systems. */
async function machineMirrors(): Promise<{ readonly main: string | null; readonly security: string | null }> {
  try {
    const format = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"
    const listed = await output({
      program: "apt-get",
      arguments: ["indextargets", "--format", format, "Created-By: Packages"],
    })
    const lines = listed
      .toString()
      .split("\n")
      .map(line => line.split("|"))
    const of = (wanted: string): string | null =>
      lines.find(([origin, label]) => origin === "Debian" && label === wanted)?.[2]?.replace(/\/$/, "") ?? null
    return { main: of("Debian"), security: of("Debian-Security") }
  } catch {
    // No apt, or none that was ever updated: the recipe's mirror will do.
    return { main: null, security: null }
  }
}

/** Lines of a sources.list. */
export function sourceLines({ main, security, suite }: Sources): string[] {
  return [`deb ${main} ${suite} main`, `deb ${main} ${suite}-updates main`, `deb ${security} ${suite}-security main`]
}

/** What the guest's apt is told, in its newer form. */
export function guestSources(recipe: Recipe): string {
  const stanza = (uri: string, suites: string): string =>
    `Types: deb\nURIs: ${uri}\nSuites: ${suites}\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.pgp\n`
  const { suite, mirror } = recipe
  return `${stanza(mirror, `${suite} ${suite}-updates`)}\n${stanza(siblingOf(mirror), `${suite}-security`)}`
}

/**
 * The moment of the newest of the archive's Release files, in seconds: the same packages, the same moment. It goes into the
 * image in place of the clock.
 */
export async function archiveEpoch(sources: Sources): Promise<number> {
  const { main, security, suite } = sources
  const releases = [`${main}/dists/${suite}`, `${main}/dists/${suite}-updates`, `${security}/dists/${suite}-security`]
  const moments = await Promise.all(releases.map(async url => releaseMoment(`${url}/InRelease`)))
  return Math.max(...moments)
}

async function releaseMoment(url: string): Promise<number> {
  const place = await mkdtemp(join(tmpdir(), "cah-release-"))
  try {
    // By apt's own means: its proxies, its certificates. The signature is checked when packages are fetched.
    const helper = { program: "/usr/lib/apt/apt-helper", arguments: ["download-file", url, join(place, "InRelease")] }
    await output(helper)
    return releaseDate(await readFile(join(place, "InRelease"), "utf8"), url)
  } catch (error) {
    if (!(error instanceof ApplianceError)) throw error
    throw new ApplianceError(`${url} cannot be had; choose another with --mirror or CAH_APT_MIRROR\n${error.message}`)
  } finally {
    await rm(place, { recursive: true, force: true })
  }
}

export function releaseDate(release: string, where: string): number {
  const date = /^Date: (.+)$/m.exec(release)?.[1]
  const moment = date === undefined ? Number.NaN : Date.parse(date)
  if (Number.isNaN(moment)) throw new ApplianceError(`${where} is no Release file: it has no Date`)
  return moment / 1_000
}

/** Inside the tree, while it is built: packages that are not installed but taken apart. */
export const DOWNLOADS = "/cah-downloads"

/** The initrd's tools. */
const BUSYBOX = "busybox-static"

export interface Debootstrap {
  readonly recipe: Recipe
  readonly sources: Sources
  readonly epoch: number
  readonly isRoot: boolean
  /** A tar of what is laid over the tree before the recipe's lines are run. */
  readonly overlay: string
}

/** mmdebstrap's call; the tar comes on its stdout. Pure. */
export function debootstrap({ recipe, sources, epoch, isRoot, overlay }: Debootstrap): Run {
  const hooks = [
    `tar-in ${shellWord(overlay)} /`,
    ...recipe.run.map(line => `chroot "$1" /bin/sh -e -c ${shellWord(line)}`),
    // The kernel and busybox do not go into the root file system: only their files are wanted. The kernel's package is named by an empty one.
    `mkdir "$1${DOWNLOADS}" && cd "$1${DOWNLOADS}" && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" && ${[
      "apt-get -qq -o APT::Sandbox::User=root download",
      BUSYBOX,
      recipe.kernel,
      `$(apt-cache depends --important ${shellWord(recipe.kernel)} | sed -n 's/.*Depends: \\(linux-image-.*\\)/\\1/p')`,
    ].join(" ")}`,
  ]
  return {
    program: "mmdebstrap",
    arguments: [
      // Root needs no tricks; others have a namespace of users.
      `--mode=${isRoot ? "root" : "unshare"}`,
      ...["--variant=apt", "--format=tar", "--architectures=amd64"],
      `--include=${recipe.packages.join(",")}`,
      ...['--aptopt=Acquire::Languages { "none"; }', '--aptopt=Acquire::Retries "3"'],
      ...(sources.isOld ? ['--aptopt=Acquire::Check-Valid-Until "false"'] : []),
      ...hooks.map(hook => `--customize-hook=${hook}`),
      ...[sources.suite, "-", ...sourceLines(sources)],
    ],
    environment: { SOURCE_DATE_EPOCH: `${epoch}` },
  }
}

export function shellWord(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`
}
