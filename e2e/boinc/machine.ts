// What runs of ours under a BOINC client: launchers, QEMU, relays, told apart by their command lines. Each is known by its number and
// the moment of its start, so that one may wait for its end. Only looks.
import { basename } from "node:path"
import { isAlive, type Leader, leaderOf } from "../../common/processes.ts"
import { commandLineOf } from "../../vmlauncher/process.ts"
import { processesBelow } from "./client.ts"

export type Kind = "launcher" | "QEMU" | "relay" | "other"

export interface Running extends Leader {
  readonly kind: Kind
}

/** Below a client's directory, but not the client. */
export async function runningBelow(directory: string): Promise<Running[]> {
  const found: Running[] = []
  for (const pid of await processesBelow(`${directory}/`)) {
    const leader = leaderOf(pid)
    const line = commandLineOf(pid)
    if (line !== null && isAlive(leader)) found.push({ ...leader, kind: kindOf(line.arguments) })
  }
  return found
}

/** QEMU that is asked for its version, or tried for its acceleration, is no machine; a launcher's name carries its version and its digest. */
function kindOf([program = "", ...args]: readonly string[]): Kind {
  const name = basename(program)
  if (name.startsWith("qemu-system")) return args.includes("-pidfile") ? "QEMU" : "other"
  if (name.startsWith("vmlauncher")) return args[0] === "relay" ? "relay" : "launcher"
  return "other"
}

export { isAlive }
