// Faults with larger budgets than CI's: `npm run chaos -- crash`, `volunteer` or `storm` runs an end-to-end piece of e2e with more
// rounds, kills or agents, as many as its flags say. Knows which piece and how much; what is done and judged is the piece's own affair.
//   npm run chaos -- volunteer --kills 10 --seed 7
import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { root } from "../scripts/files.ts"

interface Fault {
  readonly piece: string
  /** Flags of the piece, in front of those that are typed: of two the last counts. */
  readonly flags: readonly string[]
  readonly what: string
}

const faults: Readonly<Record<string, Fault>> = {
  crash: {
    piece: "crash",
    flags: ["--rounds", "60"],
    what: "the hub killed and its disk's power cut while scientists submit [--rounds N] [--seed N]",
  },
  volunteer: {
    piece: "volunteer-kills",
    flags: ["--kills", "10"],
    what: "a volunteer's client, launcher and QEMU, and the hub, killed at random moments [--kills N of each] [--seed N]",
  },
  storm: {
    piece: "storm",
    flags: ["--agents", "5000"],
    what: "thousands of agents that lose their hub at once [--agents N]",
  },
}

async function main([name = "", ...typed]: readonly string[]): Promise<number> {
  const fault = faults[name]
  if (fault === undefined) {
    if (name !== "") console.error(`There is no fault "${name}".`)
    console.error("npm run chaos -- FAULT [flags]")
    for (const [each, { flags, what }] of Object.entries(faults))
      console.error(`  ${each.padEnd(10)} ${what}; ${flags.join(" ")} unless told`)
    return 2
  }
  const piece = join(root, "e2e", `${fault.piece}.e2e.ts`)
  const child = spawn(process.execPath, ["--import", "tsx", piece, ...fault.flags, ...typed], {
    cwd: root,
    stdio: "inherit",
  })
  // A terminal's Ctrl-C reaches both; whoever else ends us means the piece.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal))
  const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null]
  if (signal !== null) console.error(`ended by ${signal}`)
  return code ?? 1
}

process.exitCode = await main(process.argv.slice(2))
