// What the page says about each row besides its figures: what is compared and why that is fair, and why a target is missed where it is.
// Words alone: a figure here would outlive the measurement that it came from.
import type { RowName } from "../figures.ts"

export interface Prose {
  readonly title: string
  readonly about: string
  /** Why figures miss their target, by how "subject: name" begins; the longest that fits counts. Shown only where one is missed. */
  readonly causes: Readonly<Record<string, string>>
}

export const prose: Readonly<Record<RowName, Prose>> = {
  noop: {
    title: "Jobs that do nothing",
    about:
      "What the hub itself costs: different jobs submitted, offered, started, finished and acknowledged twice, over real WebSockets, nothing said before it is on disk (SQLite, `synchronous=FULL`). The bare hub does only the essentials with the same bytes on the wire and the same durability; what it leaves out stands at the head of `bench/bare-hub.ts`. Both get the same load, each on a core of its own, in turns.",
    causes: {
      "hub: throughput":
        "What the hub knows beyond the bare one: each job's story in JSON, an index beside each result, shares, leases and invariants of every attempt, metrics; and more memory to collect for all of it, some of it by V8's own threads, which share the hub's one core here. The profile has no single wall any more: garbage collection, the writer's thread, system calls of the sockets and the core's decisions are each between a tenth and a quarter.",
    },
  },
  peers: {
    title: "Beside what one would pick instead",
    about:
      "The same campaign on brokers, job queues and a batch system, each as durable as it can be made, its server on the hub's core and its own client library on the load's. The target is against the fastest of those that are durable before they acknowledge.",
    causes: {
      "hub: throughput":
        "RabbitMQ's quorum queue writes a message to its log when it comes and a number when it is acknowledged, both before it goes on, and knows nothing else of a task: no start, no result, no story, no share, no lease. Ours keeps all of these on disk for each job. What ours spends, and how near the bare hub comes, which does only the essentials, see the row above.",
    },
  },
  latency: {
    title: "From submit to running",
    about:
      "One job after the other on an idle hub with all agents connected, from the scientist's call to the offer at an agent; then the same beside a steady stream of small campaigns, at shares of the rate that this hub was seen to reach just before.",
    causes: {
      "hub: submit → running p50":
        "The difference has three parts of about one size: the library that serves gRPC, gRPC-web and Connect from one handler, with its streams and abort signals for each call; the order's validation, its look for an earlier submit with the same key, and the decision; and a commit of more pages (the campaign with its indices, progress, usage, journal).",
      "hub: submit → running p99": "The collector's pauses and SQLite's checkpoints.",
    },
  },
  array: {
    title: "One very large array",
    about:
      "A campaign of jobs that are all alike is one message and one row: how soon it is taken, what it costs in memory, and whether it runs as fast as so many different jobs, on the same hub with the same agents.",
    causes: {},
  },
  agents: {
    title: "Few agents and many",
    about:
      "The campaign of `noop` with more and more agents. With few it is the round trip that bounds, since a slot waits for its next job until the end of its last is on disk; with many it is the hub. Each number is a fresh hub and a fresh bare hub, in turns.",
    causes: {},
  },
  idle: {
    title: "Agents that only heartbeat",
    about:
      "What most agents do most of the time: resident memory and processor time of one hub process that holds their links, beside a bare hub that holds the same.",
    causes: {
      "hub: resident for each agent":
        "Beside Node's socket and ws, which the bare hub has too: a session with its outbox, buckets and timers' figures, and a node in the core with its properties and habits.",
      "hub: processor for 1,000 agents":
        "What the fewest agents cost is the small difference of two figures that themselves vary by nearly as much, so that this ratio falls on either side of its target from one measurement to the next. What each agent more costs, from level to level, stands in the table.",
    },
  },
  storm: {
    title: "A crash under load",
    about:
      "The hub is killed under agents that all run a job, and started again. They come back as the real ones do, with full jitter and the hub's own Retry-After. Every job must end once and in its first attempt, whether its command ended before the crash, meanwhile or after. There is nothing to compare with: the targets are absolute.",
    causes: {},
  },
  stream: {
    title: "Files",
    about:
      "Stagein and stageout over the agents' links, hashed on arrival, and what comes back synchronised and renamed before the answer. Bare HTTP moves the same bytes between the same processes and the same file systems, made durable alike, in pieces as large; what it gives it does not hash, as the hub does. It reads a piece, gives it to the kernel, and only then reads the next, where the hub reads ahead: on a machine that is slow to wake a core the hub may be ahead of it.",
    causes: {
      "hub: stageout":
        "Bytes come as chunks of a WebSocket message each, which ws puts together from what the socket gives it; then they are hashed and written on the hub's one core. Many near agents have two chunks under way each, so that control frames need not wait, and each chunk is answered by a credit of its own.",
      "hub: stagein":
        "Bytes go as chunks of a WebSocket message each, by credit, and the hub checks a blob's digest as it reads; bare HTTP gives whole buffers to the kernel unread.",
      "hub: stagein, 1 agent: control":
        "The median waits for the chunks before it in the socket. The one in a hundred met a stall of the load's own event loop, whose one core receives, puts together and hashes all that comes: a collection, or threads of V8 that have their turn on it.",
      "hub: stageout, 1 agent: control":
        "The median waits for the chunks before it. One in a hundred meets a stall of hub or load process: the event loop's own 99th percentile is nearly as long.",
      "hub: stagein, 10 agents: control":
        "Each of the ten has a chunk under way, which the median waits for. The one in a hundred met a stall of the load's own event loop, which is ten agents in one process on one core, or the start and end of a file, when a whole window is under way.",
      "hub: stageout, 10 agents: control":
        "Each of the ten has two chunks under way, which the one core hashes and writes: the median waits for that. One in a hundred meets a stall of hub or load process.",
    },
  },
  submit: {
    title: "Submits alone",
    about:
      "Different jobs in one stream, taken and on disk, run by nobody, through each of the three protocols. Bare grpc-js gets the same messages, decodes them with the same library and puts them into SQLite with the same durability.",
    causes: {},
  },
  scale: {
    title: "Do twice the machines take half the time?",
    about:
      "Three looks: the thesis's campaign, one slot a core, on whose system 320 cores were the end; a long campaign in the simulator, which runs the production engine and cores in virtual time with volunteers that come and go; and the real hub with agents whose commands sleep. Efficiency is against what nobody could beat who does not know the future: the same jobs and machines without any delay.",
    causes: {
      "simulator: 1,000,000 jobs":
        "With so many agents the whole campaign lasts as long as a few jobs one after the other. An attempt that is lost near its end costs the silence until the hub gives it up, a wait, and a run anew; whom nothing delays begins again at once.",
    },
  },
  scheduler: {
    title: "A decision",
    about:
      "What placing one job costs the core with a full queue of many users, conditions and shapes, fair shares and priorities included, and whether that grows with the queue or with the nodes. No peer here has all of these at once: the target is absolute.",
    causes: {
      "core: a decision":
        "Owners in the order of turns are held against the node, which is a few. What is left with so many nodes is memory that is in no cache (another owner's lanes and another node each time), each node's first judgement by each property, and a job's own objects, which are made, kept and collected.",
    },
  },
  soak: {
    title: "Minutes on end",
    about:
      "A steady half of what this hub was seen to reach just before, as small campaigns that come all the time: whether memory grows, by a line through all samples after the first third, and whether the hub keeps up.",
    causes: {},
  },
}
