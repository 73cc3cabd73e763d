// Which verbs there are (but for completion, which tree.ts makes of them all), each with the line that help shows of it and the file that knows the rest. A file is loaded when its verb is
// typed: gRPC alone takes a tenth of a second, and `cah version` needs none of it.
import type { Group, Verb } from "./verb.ts"

export interface Entry {
  /** Empty: not shown. */
  readonly summary: string
  readonly load: () => Promise<Verb | Group>
}

export type Entries = Readonly<Record<string, Entry>>

export const verbs: Entries = {
  sub: {
    summary: "submit a command, once or as an array of jobs",
    load: async () => (await import("./commands/sub.ts")).sub,
  },
  try: {
    summary: "run a job once here, as a node would",
    load: async () => (await import("./commands/try.ts")).tryOut,
  },
  ls: { summary: "list campaigns, or the jobs of some", load: async () => (await import("./commands/ls.ts")).ls },
  show: {
    summary: "show one campaign, or one job with its story",
    load: async () => (await import("./commands/show.ts")).show,
  },
  explain: {
    summary: "why a job waits, and what would run it now",
    load: async () => (await import("./commands/explain.ts")).explain,
  },
  wait: {
    summary: "wait until campaigns or jobs have ended",
    load: async () => (await import("./commands/wait.ts")).wait,
  },
  progress: {
    summary: "how far campaigns are, in a line each",
    load: async () => (await import("./commands/progress.ts")).progress,
  },
  top: { summary: "watch what is under way", load: async () => (await import("./commands/top.ts")).top },
  get: { summary: "fetch the results of jobs", load: async () => (await import("./commands/get.ts")).get },
  logs: {
    summary: "print what a job wrote to stdout or stderr",
    load: async () => (await import("./commands/logs.ts")).logs,
  },
  del: { summary: "cancel campaigns or jobs", load: async () => (await import("./commands/del.ts")).del },
  hold: {
    summary: "begin nothing more of campaigns or jobs",
    load: async () => (await import("./commands/hold.ts")).hold,
  },
  resume: {
    summary: "let campaigns or jobs go on that were held",
    load: async () => (await import("./commands/hold.ts")).resume,
  },
  resub: {
    summary: "submit an earlier campaign, or jobs of it, once more",
    load: async () => (await import("./commands/resub.ts")).resub,
  },
  forget: {
    summary: "remove ended campaigns and their results from the hub",
    load: async () => (await import("./commands/forget.ts")).forget,
  },
  cache: {
    summary: "stageins that the hub keeps for later campaigns",
    load: async () => (await import("./commands/cache.ts")).cache,
  },
  nodes: {
    summary: "the machines that give computer time",
    load: async () => (await import("./commands/nodes.ts")).nodes,
  },
  login: { summary: "keep a token for a hub", load: async () => (await import("./commands/login.ts")).login },
  logout: { summary: "forget the token of a hub", load: async () => (await import("./commands/logout.ts")).logout },
  whoami: {
    summary: "show as whom the hub knows you",
    load: async () => (await import("./commands/whoami.ts")).whoami,
  },
  doctor: {
    summary: "check this machine, the configuration and the hub",
    load: async () => (await import("./commands/doctor.ts")).doctor,
  },
  context: {
    summary: "hubs by a name, and which of them is asked",
    load: async () => (await import("./commands/context.ts")).context,
  },
  config: {
    summary: "show what is set, and by whom",
    load: async () => (await import("./commands/config.ts")).config,
  },
  admin: {
    summary: "what an operator does: tokens, enrolments, shares",
    load: async () => (await import("./commands/admin.ts")).admin,
  },
  complete: { summary: "", load: async () => (await import("./commands/complete.ts")).complete },
  version: {
    summary: "print the version of this program",
    load: async () => (await import("./commands/version.ts")).version,
  },
}

/** What other systems call them. */
export const foreignVerbs: Readonly<Record<string, string>> = {
  ...{ cancel: "del", kill: "del", delete: "del", rm: "del", remove: "del", abort: "del", stop: "del" },
  ...{ scancel: "del", qdel: "del", bkill: "del", condor_rm: "del" },
  ...{
    status: "ls",
    stat: "ls",
    list: "ls",
    jobs: "ls",
    ps: "ls",
    queue: "ls",
    squeue: "ls",
    qstat: "ls",
    bjobs: "ls",
  },
  ...{ submit: "sub", run: "sub", sbatch: "sub", qsub: "sub", bsub: "sub", array: "sub" },
  ...{ fetch: "get", download: "get", results: "get", output: "logs", log: "logs", cat: "logs", tail: "logs" },
  ...{ info: "show", describe: "show", inspect: "show", story: "show", why: "explain" },
  ...{ retry: "resub", rerun: "resub", resubmit: "resub", release: "resume", pause: "hold", suspend: "hold" },
  ...{ workers: "nodes", hosts: "nodes", sinfo: "nodes", auth: "login", test: "try", dry: "try" },
}

/** Programs of their own name, for hands that are used to OAR's. */
export const oarVerbs: Entries = {
  oarsub: { summary: "", load: async () => (await import("./oar/oarsub.ts")).oarsub },
  oarstat: { summary: "", load: async () => (await import("./oar/oarstat.ts")).oarstat },
  oardel: { summary: "", load: async () => (await import("./oar/oardel.ts")).oardel },
  oarhold: { summary: "", load: async () => (await import("./oar/oarhold.ts")).oarhold },
  oarresume: { summary: "", load: async () => (await import("./oar/oarhold.ts")).oarresume },
  oarnodes: { summary: "", load: async () => (await import("./oar/oarnodes.ts")).oarnodes },
}
