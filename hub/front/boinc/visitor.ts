// Whose browser it is that asks for the page at the hub's address, as far as it says: so that the first line is about their own computer.
// A browser's word, good for nothing else. Pure.

export interface Visitor {
  /** As people call it: "Windows". */
  readonly system: string
  /** A phone or a tablet, which no virtual machine runs on. */
  readonly isHandheld: boolean
  /** Platforms of BOINC, any of which such a computer may be. */
  readonly platforms: readonly string[]
}

/** The first that fits: names of one system stand in the words of another (Android says Linux too). */
const kinds: readonly (readonly [sign: RegExp, system: string, platforms: readonly string[]])[] = [
  [/iPhone|iPad/, "iOS", []],
  [/Android/, "Android", []],
  [/Windows NT/, "Windows", ["windows_x86_64"]],
  [/Macintosh/, "macOS", ["x86_64-apple-darwin", "arm64-apple-darwin"]],
  [/CrOS/, "ChromeOS", []],
  [/FreeBSD/, "FreeBSD", []],
  [/OpenBSD/, "OpenBSD", []],
  [/NetBSD/, "NetBSD", []],
  [/Linux aarch64|Linux arm/, "Linux on ARM", ["aarch64-unknown-linux-gnu"]],
  [/Linux/, "Linux", ["x86_64-pc-linux-gnu"]],
]

/** Null: it does not say what it runs on. */
export function visitorOf(userAgent: string): Visitor | null {
  const found = kinds.find(([sign]) => sign.test(userAgent))
  if (found === undefined) return null
  const [, system, platforms] = found
  return { system, platforms, isHandheld: system === "iOS" || system === "Android" }
}

/** "Linux", "Linux and Windows": for which there is a version. */
export function systemsOf(platforms: readonly string[]): string {
  const systems = kinds.filter(kind => kind[2].some(each => platforms.includes(each))).map(([, system]) => system)
  const names = systems.length === 0 ? platforms : systems.sort()
  return names.length < 2 ? (names[0] ?? "") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`
}
