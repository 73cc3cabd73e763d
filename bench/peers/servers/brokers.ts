// Brokers of one process each: RabbitMQ, Redis for BullMQ, NATS, beanstalkd; how they are started so that they are as durable as they
// can be, and what their acknowledgement means then.
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { endServer, launch, listens } from "../launch.ts"
import { freePort, type Peer } from "../peer.ts"

const TASKS = 50_000
/** As our agents; and as one worker process that does all. The faster one counts. */
const shapes = [
  { workers: 100, slots: 4 },
  { workers: 1, slots: 400 },
] as const

export const rabbitmq: Peer = {
  name: "RabbitMQ",
  durability:
    "durable queue, persistent messages, publisher confirms: confirmed when on disk; acknowledgements of consumers are not",
  isDurable: true,
  programs: ["rabbitmq-server"],
  packages: ["rabbitmq-server"],
  libraries: ["amqplib"],
  tasks: TASKS,
  shapes,
  async start(place) {
    const [port, distribution, mapper] = [await freePort(), await freePort(), await freePort()]
    // Erlang's port mapper would be started as a daemon and stay: it is ours instead.
    const epmd = launch({
      name: "epmd",
      command: ["epmd", "-port", String(mapper), "-address", "127.0.0.1"],
      log: join(place, "epmd.log"),
    })
    await listens(epmd, mapper)
    await writeFile(join(place, "rabbitmq.conf"), "loopback_users = none\nlog.file.level = warning\n")
    const server = launch({
      name: "rabbitmq",
      command: ["/usr/lib/rabbitmq/bin/rabbitmq-server"],
      log: join(place, "rabbitmq.log"),
      environment: {
        HOME: place,
        ERL_EPMD_PORT: String(mapper),
        RABBITMQ_NODENAME: `bench-${port}@localhost`,
        RABBITMQ_NODE_IP_ADDRESS: "127.0.0.1",
        RABBITMQ_NODE_PORT: String(port),
        RABBITMQ_DIST_PORT: String(distribution),
        RABBITMQ_MNESIA_BASE: join(place, "data"),
        RABBITMQ_LOG_BASE: join(place, "logs"),
        RABBITMQ_CONFIG_FILE: join(place, "rabbitmq.conf"),
        RABBITMQ_ENABLED_PLUGINS_FILE: join(place, "plugins"),
        RABBITMQ_PID_FILE: join(place, "rabbitmq.pid"),
        // Its schedulers would otherwise spin on the one core that they have.
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: "+sbwt none +sbwtdcpu none +sbwtdio none",
      },
    })
    try {
      await listens(server, port)
    } catch (error) {
      await endServer([server, epmd])
      throw error
    }
    return { address: `amqp://guest:guest@127.0.0.1:${port}`, programs: [server, epmd] }
  },
}

/** Its consumers' acknowledgements are as durable as its confirms: what ended stays ended, as with the hub. */
export const rabbitmqQuorum: Peer = {
  ...rabbitmq,
  name: "RabbitMQ, quorum queue",
  durability:
    "quorum queue of one node, publisher confirms: what is published and what is acknowledged is in its log, on disk",
}

export const bullmq: Peer = {
  name: "BullMQ on Redis",
  durability: "appendonly, appendfsync always: every command is on disk before its answer",
  isDurable: true,
  programs: ["redis-server"],
  packages: ["redis-server"],
  libraries: ["bullmq", "ioredis"],
  tasks: TASKS,
  shapes,
  async start(place) {
    const port = await freePort()
    const flags = ["--bind", "127.0.0.1", "--port", String(port), "--dir", place, "--save", ""]
    const server = launch({
      name: "redis",
      command: [
        "redis-server",
        ...flags,
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--maxmemory-policy",
        "noeviction",
      ],
      log: join(place, "redis.log"),
    })
    await listens(server, port)
    return { address: `redis://127.0.0.1:${port}`, programs: [server] }
  },
}

export const nats: Peer = {
  name: "NATS JetStream",
  durability: "file storage, publish acknowledged: written, but synchronised to disk every two minutes only",
  isDurable: false,
  programs: ["nats-server"],
  packages: ["nats-server"],
  libraries: ["nats"],
  tasks: TASKS,
  shapes,
  async start(place) {
    const port = await freePort()
    const server = launch({
      name: "nats",
      command: ["nats-server", "-a", "127.0.0.1", "-p", String(port), "-js", "-sd", place],
      log: join(place, "nats.log"),
    })
    await listens(server, port)
    return { address: `nats://127.0.0.1:${port}`, programs: [server] }
  },
}

export const beanstalkd: Peer = {
  name: "beanstalkd",
  durability: "-b -f0: every command is synchronised to the write-ahead log before its answer",
  isDurable: true,
  programs: ["beanstalkd"],
  packages: ["beanstalkd"],
  libraries: [],
  tasks: TASKS,
  shapes: [
    { workers: 400, slots: 1 },
    { workers: 50, slots: 1 },
  ],
  async start(place) {
    const port = await freePort()
    const log = join(place, "binlog")
    await mkdir(log)
    const server = launch({
      name: "beanstalkd",
      command: ["beanstalkd", "-l", "127.0.0.1", "-p", String(port), "-b", log, "-f0"],
      log: join(place, "beanstalkd.log"),
    })
    await listens(server, port)
    return { address: `beanstalk://127.0.0.1:${port}`, programs: [server] }
  },
}
