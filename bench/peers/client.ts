// The client of a peer in a process of its own: submits tasks as fast as the peer's confirmations allow, takes them at the same time and
// acknowledges each, and counts: every task once, none twice. Prints how long it took, one line of JSON.
//   node --import tsx bench/peers/client.ts '{"client":"beanstalkd","address":…,"tasks":…,"workers":…,"slots":…}'
import { beanstalkd } from "./clients/beanstalkd.ts"
import { bullmq } from "./clients/bullmq.ts"
import { graphile } from "./clients/graphile.ts"
import { nats } from "./clients/nats.ts"
import { rabbitmq, rabbitmqQuorum } from "./clients/rabbitmq.ts"
import { slurm } from "./clients/slurm.ts"
import { Counter } from "./counter.ts"
import type { Client, ClientName, ClientOrder, PeerRan } from "./peer.ts"

const clients: Readonly<Record<ClientName, Client>> = {
  rabbitmq,
  rabbitmqQuorum,
  bullmq,
  nats,
  beanstalkd,
  graphile,
  slurm,
}

const order = JSON.parse(process.argv[2]!) as ClientOrder
const counter = new Counter(order.tasks)
const run = await clients[order.client](order, counter)
const cpu = process.cpuUsage()
const start = process.hrtime.bigint()
await run()
const seconds = Number(process.hrtime.bigint() - start) / 1e9
const { user, system } = process.cpuUsage(cpu)
counter.demandAll()
const ran: PeerRan = { seconds, loadCpuSeconds: (user + system) / 1e6 }
// Whatever sockets the libraries keep open are closed with the process.
process.stdout.write(`${JSON.stringify(ran)}\n`, () => process.exit(0))
