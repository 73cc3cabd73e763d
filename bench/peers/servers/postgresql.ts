// PostgreSQL for graphile-worker: a cluster of its own, as Debian's packages leave it but for where it lies and listens. As root it is run by the
// user that Debian made for it, since it refuses root.
import { spawnSync } from "node:child_process"
import { chmodSync, existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { launch, listens } from "../launch.ts"
import { freePort, type Peer } from "../peer.ts"

const VERSIONS = "/usr/lib/postgresql"

/** Where the newest installed version has its programs. */
function binaries(): string {
  const versions = existsSync(VERSIONS) ? readdirSync(VERSIONS).sort((a, b) => Number(b) - Number(a)) : []
  if (versions[0] === undefined) throw new Error(`there is no PostgreSQL in ${VERSIONS}`)
  return join(VERSIONS, versions[0], "bin")
}

function asItsUser(): string[] {
  return process.getuid?.() === 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : []
}

export const graphile: Peer = {
  name: "graphile-worker on PostgreSQL",
  durability: "fsync and synchronous_commit on, as by default: on disk before the answer; finished tasks are removed",
  isDurable: true,
  programs: [`${VERSIONS}/*/bin/postgres`],
  packages: ["postgresql"],
  libraries: ["graphile-worker"],
  tasks: 10_000,
  shapes: [{ workers: 1, slots: 400 }],
  async start(place) {
    const port = await freePort()
    const data = join(place, "data")
    const { status } = spawnSync("install", [
      "-d",
      ...(asItsUser().length > 0 ? ["-o", "postgres"] : []),
      "-m",
      "700",
      data,
    ])
    if (status !== 0) throw new Error(`${data} could not be made`)
    // Its user must get through to it.
    chmodSync(place, 0o711)
    const [command, ...args] = [...asItsUser(), join(binaries(), "initdb"), "-D", data, "-U", "bench", "--auth=trust"]
    const made = spawnSync(command!, args, { encoding: "utf8", cwd: "/" })
    if (made.status !== 0) throw new Error(`initdb: ${made.stderr}`)
    const flags = ["-D", data, "-p", String(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
    const server = launch({
      name: "postgresql",
      command: [...asItsUser(), join(binaries(), "postgres"), ...flags] as [string, ...string[]],
      log: join(place, "postgresql.log"),
    })
    await listens(server, port)
    return { address: `postgres://bench@127.0.0.1:${port}/postgres`, programs: [server] }
  },
}
