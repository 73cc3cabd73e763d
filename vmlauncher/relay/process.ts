// `vmlauncher relay <socket file>`: one process for each connection that a guest opens, started by the hypervisor with that connection as standard
// input and output. Passes bytes between it and the launcher, and ends with whichever of the two ends first, so that it outlives neither.
import { connect } from "node:net"

export const RELAY_VERB = "relay"

/** Returns the exit code. */
export function runRelay(path: string): Promise<number> {
  const { stdin, stdout } = process
  return new Promise(resolve => {
    const launcher = connect({ path, allowHalfOpen: true })
    const end = (): void => {
      launcher.destroy()
      resolve(0)
    }
    launcher.on("error", end)
    launcher.on("close", end)
    stdin.on("error", end)
    stdout.on("error", end)
    stdin.pipe(launcher)
    launcher.on("data", chunk => {
      if (!stdout.write(chunk)) launcher.pause()
    })
    stdout.on("drain", () => launcher.resume())
    // What is still in our hands goes out first.
    launcher.on("end", () => stdout.write("", end))
  })
}
