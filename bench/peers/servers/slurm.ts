// Slurm: a controller, one node that believes to have 400 processors, and munge for their trust. It forks a process for each job, which
// none of the others does: it stands in the table because it is what people of this field have, not because the work is alike.
import { spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { chmod, mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { ready } from "../../../harness/processes.ts"
import { cores } from "../../machine.ts"
import { endServer, launch, listens } from "../launch.ts"
import { freePort, type Peer } from "../peer.ts"

const PROCESSORS = 400

export const slurm: Peer = {
  name: "Slurm",
  durability: "its state is saved every few seconds, not before the answer; a process is forked for each job",
  isDurable: false,
  programs: ["slurmctld", "slurmd", "munged", "sbatch"],
  packages: ["slurmctld", "slurmd", "slurm-client", "munge"],
  libraries: [],
  needsRoot: true,
  tasks: 500,
  shapes: [{ workers: 1, slots: PROCESSORS }],
  async start(place) {
    const [port, nodePort] = [await freePort(), await freePort()]
    const conf = join(place, "slurm.conf")
    const socket = join(place, "munge.socket")
    // munged wants a way to its socket that everybody may go and nobody may change.
    await chmod(place, 0o755)
    await writeFile(join(place, "munge.key"), randomBytes(1_024), { mode: 0o600 })
    for (const folder of ["state", "spool"]) await mkdir(join(place, folder))
    const munged = launch({
      name: "munged",
      command: [
        ...(["munged", "--foreground", "--force", `--socket=${socket}`] as const),
        ...[`--key-file=${join(place, "munge.key")}`, `--pid-file=${join(place, "munged.pid")}`],
        ...[`--seed-file=${join(place, "munged.seed")}`, `--log-file=${join(place, "munged.log")}`],
      ],
      log: join(place, "munged.out"),
    })
    await writeFile(conf, configuration({ place, port, nodePort, socket }))
    const environment = { SLURM_CONF: conf }
    const controller = launch({
      name: "slurmctld",
      command: ["slurmctld", "-D", "-f", conf],
      log: join(place, "slurmctld.out"),
      environment,
    })
    const programs = [controller, munged]
    try {
      await listens(controller, port)
      const node = launch({
        ...{ name: "slurmd", command: ["slurmd", "-D", "-f", conf, "-N", "bench"], log: join(place, "slurmd.out") },
        ...{ environment, core: cores.load },
      })
      programs.unshift(node)
      const env = { ...process.env, ...environment }
      await ready(node, async () => {
        const { stdout } = spawnSync("sinfo", ["--noheader", "--format=%t"], { env, encoding: "utf8" })
        return stdout.trim() === "idle" ? true : null
      })
    } catch (error) {
      await endServer(programs)
      throw error
    }
    return { address: conf, programs }
  },
}

/**
 * A node that is asked for its jobs while it is still forking them would have them declared NODE_FAIL after BatchStartTimeout, 10 s by
 * default: too short for a whole array on a slow core.
 */
function configuration(of: { place: string; port: number; nodePort: number; socket: string }): string {
  return `ClusterName=bench
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=${of.port}
SlurmdPort=${of.nodePort}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=${of.socket}
CryptoType=crypto/munge
StateSaveLocation=${join(of.place, "state")}
SlurmdSpoolDir=${join(of.place, "spool")}
SlurmctldPidFile=${join(of.place, "slurmctld.pid")}
SlurmdPidFile=${join(of.place, "slurmd.pid")}
SlurmctldLogFile=${join(of.place, "slurmctld.log")}
SlurmdLogFile=${join(of.place, "slurmd.log")}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=default_queue_depth=1000,sched_min_interval=1000,batch_sched_delay=0
MaxArraySize=10001
MaxJobCount=20000
ReturnToService=2
BatchStartTimeout=300
MessageTimeout=60
MpiDefault=none
JobCompType=jobcomp/filetxt
JobCompLoc=${join(of.place, "completed.log")}
NodeName=bench NodeHostname=localhost NodeAddr=127.0.0.1 CPUs=${PROCESSORS} State=UNKNOWN
PartitionName=all Nodes=bench Default=YES MaxTime=INFINITE State=UP
`
}
