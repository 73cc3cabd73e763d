// What the launcher needs from the world, as interfaces. Adapters implement them and do not know each other; main.ts alone names concrete
// ones.
import type { Event } from "./events.ts"
import type { Ending } from "./model.ts"

export interface Clock {
  /** Monotonic ms, standing still while the computer sleeps. */
  nowMs(): number
  /** Wall time ms: people, and sleep. */
  wallMs(): number
}

/** Something did not work. The message is for people. */
export class Failure extends Error {
  override readonly name = "Failure"
  /** When trying again may help; null: never. */
  readonly laterSeconds: number | null

  constructor(message: string, options: { laterSeconds: number | null; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.laterSeconds = options.laterSeconds
  }
}

/** What the volunteer allows. Null: no limit. Memory and processors count from the next start of the machine on. */
export interface Allowance {
  readonly processors: number
  readonly memoryBytes: number
  readonly diskBytes: number
  /** Of each processor given, 1 to 100. */
  readonly processorPercent: number
  readonly upBytesPerSecond: number | null
  readonly downBytesPerSecond: number | null
  readonly budget: Budget | null
}

/** At most so many bytes, both ways together, in so many days. */
export interface Budget {
  readonly bytes: number
  readonly days: number
}

/** What the machine uses, for whoever commands us. */
export interface Usage {
  /** Of the hypervisor's processes since this launcher started. */
  readonly cpuMs: number
  readonly sentBytes: number
  readonly receivedBytes: number
  /** The work would survive being told to quit now. */
  readonly isKept: boolean
  readonly isPaused: boolean
  /** A hypervisor's process that is no child of ours; the client counts and kills it with us. */
  readonly otherPid: number | null
}

/** Who commands us: the BOINC client, or a person at a terminal. */
export interface Client {
  start(told: ClientEars): void
  /** Each second. */
  report(usage: Usage): void
  /** A plain sentence for the log. */
  say(message: string): void
  /** What the machine runs on, once it is known: the hub tells the volunteer, who may make it faster. */
  describe(ground: Ground): void
  /** What the work came to, in the client's words. Returns the exit code. Called once, at the very end. */
  end(ending: Ending): Promise<number>
}

export interface ClientEars {
  post(event: Event): void
  /** The volunteer has changed the limits. */
  allow(allowance: Allowance): void
  /** Or the way to the hub, perhaps. */
  reach(proxy: HubProxy | null): void
}

export interface Address {
  readonly host: string
  readonly port: number
}

/** A proxy, as the volunteer told the BOINC client. */
export interface HubProxy extends Address {
  readonly kind: "http" | "socks5"
  /** "": it asks for none. */
  readonly user: string
  readonly password: string
  /** SOCKS: the proxy looks up the hub's name. */
  readonly isNameLookedUpThere: boolean
  /** Hosts that are reached without it. */
  readonly exempt: readonly string[]
}

/** What a machine runs on. */
export interface Ground {
  /** "QEMU 7.2 with KVM". */
  readonly hypervisor: string
  /** Of the processor's virtualisation; emulation ("tcg") takes ten times as long. Null: the hypervisor does not say. */
  readonly acceleration: "kvm" | "tcg" | null
  /** One sentence: what was found, and for emulation what to do. */
  readonly why: string
}

/** How a machine is to be made. Paths are absolute. */
export interface MachinePlan {
  /** Unique on this computer and the same in every start: leftovers are found by it. */
  readonly name: string
  /** Everything of the machine lies here. */
  readonly directory: string
  readonly processors: number
  readonly memoryBytes: number
  readonly processorPercent: number
  readonly image: ImagePaths
  readonly imageDigest: string
  readonly kernelCommand: string
  /** Written anew for each start. */
  readonly settings: string
  /** A raw, sparse file; made if it is not there. */
  readonly scratch: { readonly path: string; readonly sizeBytes: number }
  readonly relay: RelayPlan
}

/** How a connection of the guest comes to us. Names of files are in the machine's directory, and plain. */
export interface RelayPlan {
  readonly command: readonly string[]
  readonly socket: string
  /** Followed by a number: who holds it may pass. */
  readonly lock: string
  /** Grows by a byte with each connection that was refused. */
  readonly refused: string
}

/** What of the image is here; a driver says what it needs. */
export interface ImagePaths {
  readonly kernel: string | null
  readonly initrd: string | null
  readonly root: string | null
  /** For a hypervisor that boots from a disk. */
  readonly iso: string | null
}

/** What a machine tells without being asked. */
export interface MachineEars {
  /** One line of the guest's console. */
  onLine(line: string): void
  onDiskFull(): void
  /** Nothing of it is left. Called once, unless start() rejected. */
  onStopped(reason: string): void
}

/** A machine that was started. Commands come one at a time, except destroy. Rejections are Failures. */
export interface Machine {
  pause(): Promise<void>
  resume(): Promise<void>
  /** Memory to disk, then ends. Rejects if it is not on disk; the machine is still there then, paused. */
  save(): Promise<void>
  /** Presses the power button. */
  powerDown(): Promise<void>
  /** Ends it, whatever state it is in. Resolves when nothing of it is left. */
  destroy(): Promise<void>
  limitProcessor(percent: number): void
  /** Pulled, no packet leaves the guest. */
  plugCable(isIn: boolean): Promise<void>
  cpuMs(): number
  /** How long it would have run and was kept from it, all in all: stopped for having had its share, or in line behind others. */
  heldMs(): number
  readonly otherPid: number | null
}

/** A driver. It may start one machine at a time. */
export interface Hypervisor {
  readonly name: string
  /** For people: "QEMU 7.2 with KVM". */
  readonly description: string
  readonly acceleration: Ground["acceleration"]
  readonly why: string
  /** Ends and removes what earlier runs left in this directory under this name. Returns what that was, in words. */
  sweep(directory: string, name: string): Promise<string[]>
  /** Of a saved machine, so that a plan can fit it; null: there is none, or it does not say. */
  savedMemoryBytes(directory: string): number | null
  /** Whether a saved machine is there that this plan can go on with; what does not fit is removed. Null: none; else why it does not fit. */
  fits(plan: MachinePlan): Promise<{ readonly hasSave: boolean; readonly why: string | null }>
  /** Rejects with Failure; nothing is left then. The machine runs when it resolves. An abort ends it. */
  start(plan: MachinePlan, fromSave: boolean, ears: MachineEars, signal: AbortSignal): Promise<Machine>
  discardSave(directory: string): Promise<void>
}
