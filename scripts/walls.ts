// The walls of the repository: for each room, which rooms, packages and modules of Node its files may import, types included, and
// why no others. What is not named here is forbidden, so that a new room or a new dependency is a decision (docs/adr/0027).
import { isBuiltin } from "node:module"
import { dirname } from "node:path"
import type { Import } from "./imports.ts"

export interface Room {
  /** Its files: "a/b.ts"; "a/*", all that lie in a; "a/**", all below it. The most exact of all rooms' counts. Missing: "NAME/**". */
  readonly at?: string
  /** Rooms, and groups of them, that it may import. */
  readonly may: string
  /** Packages and modules of Node; "node:*" is any of these. */
  readonly uses: string
  /** One sentence; the failure says it. */
  readonly why: string
}

export const groups: Readonly<Record<string, string>> = {
  values: "common/pure proto/values",
  shared: "common/pure proto/values common common/settings",
  wire: "proto/values proto/wire proto/gen",
  core: "hub/core hub/core/plain hub/core/placing hub/core/asking hub/limits",
  dialect:
    "hub/core hub/core/plain hub/core/placing hub/core/asking hub/limits common/pure proto/values hub/auth hub/cases hub/front hub/metrics hub/rim",
  launching:
    "vmlauncher/core vmlauncher/limits vmlauncher/rim common/pure proto/values common common/settings proto/guest",
}

const pure = "A core is pure: no I/O, clock, chance, logger or library, and nothing that comes after it."
const numbers = "Limits are numbers, which every room of their program reads."
const contract = "The contract is what both sides share: it knows neither."
const adapter =
  "Adapters know the core's ports and not each other: ask through a port, and let what starts the program wire them."
const engine = "An engine speaks to adapters through ports; what starts the program alone names concrete ones."
const rim = "Several rooms stand on it: it knows none of them."
const program = "A program wires its own adapters, and knows the others by their contract only."
const front =
  "A front translates its own language; fronts do not know each other, nor adapters: front.ts puts them together."

export const rooms: Readonly<Record<string, Room>> = {
  common: {
    may: "common/pure",
    uses: "node:*",
    why: "What every program needs imports nothing of ours, and no package.",
  },
  "common/settings": {
    may: "common common/pure",
    uses: "node:* smol-toml",
    why: "Programs read their settings by it: it knows none of them.",
  },
  "common/pure": {
    at: "common/backoff.ts common/spelling.ts common/turns.ts",
    may: "",
    uses: "",
    why: "Cores use it: it does no I/O, and imports nothing.",
  },
  "proto/gen": { may: "", uses: "@bufbuild/protobuf", why: "It is made from the .proto files." },
  "proto/wire": { may: "values proto/gen", uses: "@bufbuild/protobuf node:crypto", why: contract },
  "proto/values": {
    at: ["bounds", "codes", "command", "digest", "folder", "literal", "log", "parameters", "property", "where"]
      .map(name => `proto/wire/${name}.ts`)
      .join(" "),
    may: "common/pure",
    uses: "",
    why: "Cores use the contract's values: no I/O, no protobuf, and nothing that comes after them.",
  },
  "proto/guest": { may: "values", uses: "node:crypto", why: contract },
  archive: {
    may: "shared",
    uses: "node:* tar-stream",
    why: "Client and agent share it: it knows tar files and neither of them.",
  },

  "hub/limits": { at: "hub/limits.ts", may: "proto/values", uses: "", why: numbers },
  "hub/core": { at: "hub/core/*", may: "core values", uses: "", why: pure },
  "hub/core/plain": {
    at: ["effects", "errors", "events", "model", "ports", "rows"].map(name => `hub/core/${name}.ts`).join(" "),
    may: "core values",
    uses: "",
    why: pure,
  },
  "hub/core/placing": { may: "hub/core hub/core/plain hub/limits values", uses: "", why: pure },
  "hub/core/asking": { may: "core values", uses: "", why: pure },
  "hub/engine": {
    at: "hub/engine.ts hub/expiry.ts hub/retention.ts hub/traffic.ts hub/wallclock.ts",
    may: "core values",
    uses: "",
    why: engine,
  },
  "hub/rim": {
    at: ["first-bytes", "peers", "port", "proxy-protocol", "shares", "sparing"].map(name => `hub/${name}.ts`).join(" "),
    may: "core shared",
    uses: "node:*",
    why: rim,
  },
  "hub/metrics": {
    at: "hub/histogram.ts hub/metrics.ts",
    may: "hub/limits values",
    uses: "node:perf_hooks prom-client",
    why: rim,
  },
  "hub/store": { at: "hub/store/*", may: "core values", uses: "node:crypto", why: rim },
  "hub/store/sqlite": { may: "core shared hub/store", uses: "node:* better-sqlite3 tsx", why: adapter },
  "hub/store/memory": {
    may: "core values hub/store hub/store/sqlite",
    uses: "",
    why: "It refuses what SQLite would, by SQLite's own rows and schema, and knows no other adapter.",
  },
  "hub/blobs": { may: "core shared proto/wire", uses: "node:*", why: adapter },
  "hub/link": {
    may: "hub/core/plain hub/limits shared wire hub/link/desk hub/metrics hub/rim",
    uses: "node:* ws @bufbuild/protobuf",
    why: "Links ask the hub by their desk alone, so that they can be served elsewhere: of the core plain data and the ports of clock, log and blobs, and no other adapter.",
  },
  "hub/link/desk": {
    at: "hub/link/desk.ts",
    may: "hub/core/plain values",
    uses: "",
    why: "It is a port: plain data passes it, and it does nothing.",
  },
  "hub/desk": {
    may: "core values hub/link/desk",
    uses: "",
    why: "It answers links from the core's state, store and blobs, through ports: it knows no socket and no adapter.",
  },
  "hub/notify": { may: "core shared", uses: "node:* nodemailer", why: adapter },
  "hub/backup": { may: "core shared", uses: "node:* zod", why: adapter },
  "hub/auth": {
    may: "core shared hub/rim",
    uses: "node:*",
    why: "Who asks is the same for every front: no front's language, and no adapter.",
  },
  "hub/cases": {
    may: "core values hub/auth hub/metrics",
    uses: "node:crypto",
    why: "Use cases are in the hub's own words: no protobuf, no Connect, no HTTP, no adapter.",
  },
  "hub/front": { at: "hub/front/*", may: "dialect proto/gen", uses: "node:crypto @bufbuild/protobuf", why: rim },
  "hub/front/rpc": {
    may: "dialect wire",
    uses: "node:* @bufbuild/protobuf @connectrpc/connect @connectrpc/connect-node",
    why: front,
  },
  "hub/front/scientist": {
    may: "dialect wire hub/front/rpc",
    uses: "node:crypto @bufbuild/protobuf @connectrpc/connect",
    why: front,
  },
  "hub/front/operator": {
    may: "dialect wire hub/front/rpc hub/backup",
    uses: "@bufbuild/protobuf @connectrpc/connect",
    why: front,
  },
  "hub/front/status": { may: "dialect", uses: "", why: front },
  "hub/front/boinc": { may: "dialect common", uses: "node:* fast-xml-parser zod", why: front },
  "hub/front/volunteer": { may: "dialect hub/front/boinc", uses: "node:crypto", why: front },
  "hub/front/all": {
    at: "hub/front/front.ts",
    may: "dialect wire hub/backup hub/front/boinc hub/front/operator hub/front/rpc hub/front/scientist hub/front/status hub/front/volunteer",
    uses: "",
    why: "It puts the fronts behind one handler, and says nothing itself.",
  },
  "hub/sim": {
    may: "core values hub/engine hub/store hub/store/memory hub/store/sqlite agent/core agent/limits",
    uses: "node:*",
    why: "The simulator runs the cores, the engine and a store, and nothing else of hub or agent: real I/O would break its determinism.",
  },
  hub: {
    at: "hub/* hub/bin/*",
    may: "core shared release/launch hub/engine hub/metrics hub/rim hub/auth hub/backup hub/blobs hub/cases hub/desk hub/front hub/front/all hub/front/boinc hub/front/status hub/link hub/notify hub/store/sqlite",
    uses: "node:* package.json @connectrpc/connect pino smol-toml zod",
    why: program,
  },

  "agent/limits": { at: "agent/limits.ts", may: "proto/values", uses: "", why: numbers },
  "agent/core": { may: "agent/limits values", uses: "", why: pure },
  "agent/engine": {
    at: "agent/engine.ts agent/journal.ts agent/workplace.ts",
    may: "agent/core agent/limits shared",
    uses: "node:*",
    why: engine,
  },
  "agent/link": {
    may: "agent/core agent/limits shared wire proto/guest",
    uses: "node:* ws @bufbuild/protobuf",
    why: adapter,
  },
  "agent/cache": { may: "agent/core agent/limits shared", uses: "node:*", why: adapter },
  "agent/runner": { may: "agent/core agent/limits shared archive", uses: "node:*", why: adapter },
  agent: {
    at: "agent/* agent/bin/*",
    may: "agent/core agent/limits agent/engine agent/link agent/cache agent/runner shared wire archive proto/guest release/launch",
    uses: "node:* package.json @bufbuild/protobuf commander pino smol-toml",
    why: program,
  },

  client: {
    may: "shared wire archive release/launch",
    uses: "node:* package.json @bufbuild/protobuf @grpc/grpc-js commander picocolors smol-toml string-width tar-stream uuid yaml",
    why: "The client knows the hub by its contract only.",
  },

  "vmlauncher/limits": { at: "vmlauncher/limits.ts", may: "", uses: "", why: numbers },
  "vmlauncher/core": { may: "vmlauncher/limits values", uses: "", why: pure },
  "vmlauncher/engine": {
    at: "vmlauncher/engine.ts vmlauncher/guest.ts",
    may: "vmlauncher/core vmlauncher/limits",
    uses: "node:*",
    why: engine,
  },
  "vmlauncher/rim": { at: "vmlauncher/place.ts vmlauncher/process.ts", may: "shared", uses: "node:*", why: rim },
  "vmlauncher/boinc": { may: "launching", uses: "node:* fast-xml-parser", why: adapter },
  "vmlauncher/hypervisor": { may: "launching", uses: "node:*", why: adapter },
  "vmlauncher/image": { may: "launching", uses: "node:*", why: adapter },
  "vmlauncher/relay": { may: "launching", uses: "node:*", why: adapter },
  vmlauncher: {
    at: "vmlauncher/* vmlauncher/bin/*",
    may: "launching vmlauncher/engine vmlauncher/boinc vmlauncher/hypervisor vmlauncher/image vmlauncher/relay release/launch",
    uses: "node:* package.json",
    why: program,
  },

  appliance: {
    may: "values proto/guest",
    uses: "node:* tar-stream yaml",
    why: "The builder knows images and nothing of what runs in them: it is given the agent as a file.",
  },
  release: {
    may: "values proto/guest appliance hub hub/front/boinc vmlauncher harness release/launch release/node scripts scripts/files",
    uses: "node:* package.json commander esbuild rollup rollup-plugin-dts",
    why: "A release asks the programs for what they need and are; none of them knows how it is packed.",
  },
  "release/launch": {
    at: "release/launch.mjs",
    may: "",
    uses: "node:* tsx",
    why: "A program starts by it, as source or built: it knows none of them.",
  },
  "release/node": { at: "release/node.ts", may: "scripts/files", uses: "node:*", why: rim },
  harness: {
    may: "scripts/files agent/runner",
    uses: "node:*",
    why: "It starts the programs as their users do, and imports none of them.",
  },
  bench: {
    may: "core shared wire client harness scripts/files hub hub/engine hub/sim hub/store/memory agent agent/core agent/engine agent/limits agent/link",
    uses: "node:* @bufbuild/protobuf @grpc/grpc-js better-sqlite3 echarts ws zod",
    why: "It measures programs from outside, but for the parts named here; none of them knows it.",
  },
  e2e: {
    may: "shared wire proto/guest harness scripts/files appliance client release vmlauncher vmlauncher/rim vmlauncher/boinc hub/store/sqlite hub/front/boinc",
    uses: "node:* package.json better-sqlite3 commander tar-stream",
    why: "It looks at programs from outside, but for the parts named here; none of them knows it.",
  },
  demo: { may: "harness", uses: "node:*", why: "It does what anybody can do with the programs." },
  "scripts/files": { at: "scripts/files.ts", may: "", uses: "node:*", why: rim },
  scripts: {
    may: "common/settings scripts/files release/launch release/node agent client",
    uses: "node:* commander typescript",
    why: "Chores look at the programs; none of them knows a chore.",
  },
  examples: { may: "", uses: "node:* clouds-at-home", why: "An example uses what is published." },
}

/** Tests may import their own folder, what the room they lie in may, any package, and this. */
const testsMay: Readonly<Record<string, string>> = {
  hub: "wire",
  agent: "wire archive proto/guest",
  bench: "hub/link",
  scripts: "harness hub/link hub/core hub/core/plain hub/blobs agent/link values",
}

export const isTest = (path: string): boolean => /(\.(test|suite|fixtures)|\/fixtures)\.ts$/.test(path)
const isFile = (path: string): boolean => /\.(ts|mjs)$/.test(path) && path.includes("/")
/** The names in a list, groups resolved. */
export const listed = (names: string): string[] =>
  names.split(" ").flatMap(name => groups[name]?.split(" ") ?? (name === "" ? [] : [name]))

/** Rooms by what is theirs. */
const homes = new Map(
  Object.entries(rooms).flatMap(([name, { at }]) => (at ?? `${name}/**`).split(" ").map(mine => [mine, name] as const)),
)

/** The name of the file's room, or null. */
export function roomOf(path: string): string | null {
  let folder = dirname(path)
  const exact = homes.get(path) ?? homes.get(`${folder}/*`)
  if (exact !== undefined) return exact
  for (; folder !== "."; folder = dirname(folder)) {
    const name = homes.get(`${folder}/**`)
    if (name !== undefined) return name
  }
  return null
}

/** Of each import that no wall lets through: who imports what, and why that is not allowed. Of each file without a room: that it has none. */
export function breaches(imports: readonly Import[]): string[] {
  const found = imports.flatMap(one => {
    const [homeless] = [one.from, one.to].filter(path => isFile(path) && roomOf(path) === null)
    if (homeless !== undefined)
      return `${homeless} is in no room: say in scripts/walls.ts what ${dirname(homeless)} may import, and why.`
    const problem = problemOf(one)
    return problem === null ? [] : `${one.from} imports ${one.to}: ${problem}`
  })
  return [...new Set(found)]
}

function problemOf({ from, to }: Import): string | null {
  const name = roomOf(from)!
  const { may, uses, why } = rooms[name]!
  if (!isFile(to)) {
    const module = moduleOf(to)
    const isFree =
      isTest(from) || listed(uses).some(one => one === module || (one === "node:*" && module.startsWith("node:")))
    return isFree ? null : `${name} may not use ${module}. ${why}`
  }
  const target = roomOf(to)!
  const [folder = ""] = from.split("/")
  if (isTest(from)) {
    if (to.startsWith(`${folder}/`) || listed(`${may} ${testsMay[folder] ?? ""}`).includes(target)) return null
    return `tests of ${name} may not import ${target}. ${why}`
  }
  if (isTest(to) && name !== "e2e") return "that is a test's, and this is not."
  return target === name || listed(may).includes(target) ? null : `${name} may not import ${target}. ${why}`
}

/** "node:fs" of "fs", "tsx" of "tsx/esm/api", "@a/b" of "@a/b/c". */
function moduleOf(name: string): string {
  const [scope = "", rest = ""] = name.replace(/^node:/, "").split("/")
  if (isBuiltin(name)) return `node:${scope}`
  return scope.startsWith("@") ? `${scope}/${rest}` : scope
}
