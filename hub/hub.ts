// A running hub from a configuration: opens each part, wires them, and takes them down in the other order. The only file that
// names concrete adapters, together with main.ts; it decides nothing. Tests run the real hub in their own process with it.
import { existsSync, rmSync } from "node:fs"
import { mkdir, rename, writeFile } from "node:fs/promises"
import { hostname } from "node:os"
import { join, resolve } from "node:path"
import { isLoopback } from "../common/address.ts"
import { Turns } from "../common/turns.ts"
import { Accounts } from "./auth/accounts.ts"
import { adminTokenPath, ensureAdminToken } from "./auth/admin.ts"
import { Authenticator } from "./auth/authenticate.ts"
import { Enrolments } from "./auth/enrolments.ts"
import { Failures } from "./auth/failures.ts"
import { openHubKey } from "./auth/key.ts"
import { Tokens } from "./auth/tokens.ts"
import { Backups } from "./backup/backups.ts"
import { checkBlobs, collectGarbage, demandNone } from "./blobs/collect.ts"
import { Damage } from "./blobs/damage.ts"
import { openDiskBlobs } from "./blobs/disk.ts"
import { Computers } from "./cases/computers.ts"
import { Quotas } from "./cases/quotas.ts"
import { Certificate } from "./certificate.ts"
import type { Config } from "./config.ts"
import { CahError } from "./core/errors.ts"
import type { BlobStore, Clock, Log, Store, Timer } from "./core/ports.ts"
import type { RowWrite } from "./core/rows.ts"
import { HubDesk } from "./desk/desk.ts"
import { HubEngine } from "./engine.ts"
import { Expiry } from "./expiry.ts"
import { openRelease } from "./front/boinc/release.ts"
import { Uploads } from "./front/boinc/upload.ts"
import { front, stopError } from "./front/front.ts"
import { encodeSpec } from "./front/spec.ts"
import { countNodes } from "./front/status/gather.ts"
import { COLLECT_EVERY_MS, DRAIN_MS, LOGIN_REFILL_MS, LOGINS_MAX, SIGNUP_REFILL_MS, SIGNUPS_MAX } from "./limits.ts"
import { LinkServer, type LinkServerOptions } from "./link/server.ts"
import { createMetrics } from "./metrics.ts"
import { Delivery } from "./notify/deliver.ts"
import { mailCarrier, type Post } from "./notify/mail.ts"
import { sendmailPost } from "./notify/sendmail.ts"
import { smtpPost } from "./notify/smtp.ts"
import { webhookCarrier } from "./notify/webhook.ts"
import { observeTick } from "./observe.ts"
import { Peers } from "./peers.ts"
import { openPort } from "./port.ts"
import { closeToOthers } from "./private.ts"
import { Retention } from "./retention.ts"
import { DATABASE } from "./store/sqlite/open.ts"
import { readCopy, takeSnapshot } from "./store/sqlite/snapshot.ts"
import { openSqliteStore } from "./store/sqlite/sqlite.ts"
import { Traffic } from "./traffic.ts"
import { version } from "./version.ts"
import { WallClock } from "./wallclock.ts"

export interface Hub {
  /** What scientists and agents give to --hub. */
  readonly url: string
  readonly port: number
  /** Where the first admin token lies. */
  readonly adminTokenPath: string
  /** The database was made at this start. */
  readonly isNew: boolean
  /** A token with which one agent may join. */
  invite(account: string): Promise<string>
  /** Reads anew what may change while it runs: the TLS certificate. */
  reload(): void
  /** Lets all that is under way end or settle, closes everything. Once; later calls wait for the first. */
  stop(): Promise<void>
}

export interface HubOptions {
  readonly log: Log
  /** Other bounds of the link server, in tests. */
  readonly linkLimits?: NonNullable<LinkServerOptions["limits"]>
  /** How long open calls may last when the hub stops. */
  readonly drainMs?: number
}

const clock: Clock = { nowMs: () => performance.now(), wallMs: () => Date.now() }

const timer: Timer = {
  soon: run => void setImmediate(run),
  at(nowMs, run) {
    // Longer than setTimeout can: woken early, the engine looks at the clock and asks again.
    const timeout = setTimeout(run, Math.min(Math.max(0, nowMs - clock.nowMs()), 0x7fffffff))
    return () => clearTimeout(timeout)
  },
}

export async function startHub(config: Config, options: HubOptions): Promise<Hub> {
  const { log } = options
  const certificate = config.tls === null ? null : new Certificate({ files: config.tls, log, wallMs: clock.wallMs })
  /** In the order of opening; taken down in the other. */
  const opened: (() => Promise<void> | void)[] = []
  let stopping: Promise<void> | null = null
  const stop = () => (stopping ??= takeDown(opened, log))

  try {
    await makeDirectory(config.data)
    closeToOthers(config.data)
    const release = config.release === null ? null : await openRelease(config.release)
    const isNew = !existsSync(join(config.data, DATABASE))
    const store = await openSqliteStore({ directory: config.data, wallMs: clock.wallMs })
    opened.push(() => store.close())
    const metrics = createMetrics(version)
    opened.push(() => metrics.close())
    const damage = new Damage(count => metrics.blobsDamaged.set(count))
    const blobs = await openDiskBlobs({ directory: join(config.data, "blobs"), wallMs: clock.wallMs, damage })
    if (store.tokens().length === 0) await demandNone(blobs, config.data)
    const violations = await checkBlobs(store, blobs, damage)
    for (const line of violations.lines) log.error({}, line)
    if (violations.count > violations.lines.length) log.error({ count: violations.count }, "and more blobs are lost")

    const engine = new HubEngine({
      store,
      clock,
      timer,
      log,
      observe: tick => observeTick(metrics, tick),
      tell: () => delivery.wake(),
      committed: ({ tookMs }) => metrics.databaseTransaction.observe({ op: "commit" }, tookMs / 1e3),
    })
    const commit = (writes: RowWrite[]) => engine.commit(writes)
    const delivery = new Delivery({
      store,
      clock,
      log,
      commit,
      carriers: {
        mail: mailCarrier({ post: postOf(config), from: config.mailFrom }),
        webhook: webhookCarrier(config.webhooks, clock.wallMs),
      },
    })
    const retention = new Retention({
      store,
      clock,
      log,
      commit,
      isNeeded: id => engine.gathers(id) !== null,
      keepMs: config.retentionMs,
      timer,
      doubt: () => wallClock.doubt(),
    })
    const expiry = new Expiry({
      store,
      engine,
      clock,
      log,
      nodesKeptMs: config.nodeRetentionMs,
      dropTokens: () => tokens.dropEnded(),
      doubt: () => wallClock.doubt(),
    })
    const tokens = new Tokens({ store, engine, clock, log })
    const enrolments = new Enrolments({ store, engine, clock })
    const authenticator = new Authenticator({
      tokens,
      failures: new Failures(clock),
      onLimited: () => metrics.rateLimited.inc({ rule: "login" }),
    })
    const traffic = new Traffic({ engine, log })
    const desk = new HubDesk({
      engine,
      reader: store,
      blobs,
      clock,
      async enrol({ enrolToken, address, node, publicKey }) {
        const spent = await enrolments.spend(enrolToken, { node, publicKey })
        if (spent !== null) return spent
        const why = "the enrolment token is unknown, expired or used up: ask the hub's operator for a new one"
        return { refused: authenticator.failed(address, why).message }
      },
    })
    const links = new LinkServer({
      hubId: store.hubId(),
      desk,
      blobs,
      clock,
      log,
      metrics,
      random: Math.random,
      moved: (node, direction, bytes) => traffic.moved(node, direction, bytes),
      ...(options.linkLimits === undefined ? {} : { limits: options.linkLimits }),
    })
    engine.start(links)
    const wallClock = new WallClock({ store, clock, timer, log, commit })
    opened.push(() => engine.drain())
    opened.push(() => traffic.stop())
    opened.push(() => links.drain())
    await ensureAdminToken(tokens, config.data)
    opened.push(() => wallClock.stop())
    // What a backup has yet to copy must not be collected meanwhile: one at a time.
    const upkeep = new Turns()
    opened.push(collectNowAndThen({ store, blobs, engine, wallClock, log }, upkeep))
    const backups = new Backups({
      directory: config.backups,
      data: config.data,
      blobs,
      openBlobs: directory => openDiskBlobs({ directory, wallMs: clock.wallMs }),
      snapshot: to => takeSnapshot(join(config.data, DATABASE), to, "reader"),
      readCopy,
      wallMs: clock.wallMs,
      hubVersion: version,
      log,
      alone: work => upkeep.take(UPKEEP, work),
    })
    opened.push(() => backups.stop())
    opened.push(() => retention.stop())
    opened.push(() => expiry.stop())
    opened.push(() => delivery.stop())
    void retention.wake()
    void expiry.wake()
    delivery.wake()

    const key = await openHubKey(config.data)
    const uploads = new Uploads({
      store,
      key,
      log,
      directory: join(config.data, "launch-logs"),
      wallMs: clock.wallMs,
      hasRoom: async () => (await blobs.freeBytes()) >= config.diskFloorBytes,
    })
    if (wallClock.doubt() === null) await uploads.sweep()
    const shutdown = new AbortController()
    const serve = front({
      engine,
      store,
      blobs,
      // On which link a node is, the core knows.
      logTap: { follow: (node, ...rest) => links.follow(engine.node(node)?.link ?? null, ...rest) },
      links,
      tokens,
      enrolments,
      backups,
      authenticator,
      logins: new Failures(clock, LOGINS_MAX, LOGIN_REFILL_MS),
      signups: new Failures(clock, SIGNUPS_MAX, SIGNUP_REFILL_MS),
      accounts: new Accounts({ store, engine, clock }),
      computers: new Computers({ store, engine, enrolments, clock, key }),
      uploads,
      key,
      release,
      publicUrl: config.publicUrl,
      projectName: config.projectName,
      about: config.about,
      clock,
      metrics,
      log,
      version,
      encodeSpec,
      retention,
      diskFloorBytes: config.diskFloorBytes,
      quotas: new Quotas(config.quotas, clock),
      damagedBlobs: () => damage.count,
      strangers: () => desk.strangers(),
      madeAnew: isNew && !config.init ? resolve(config.data) : null,
      certificate: () => certificate?.state ?? null,
      clockDoubt: () => wallClock.doubt(),
      agentCommand: "cah-agent --hub <this hub's URL> --enroll <token>",
      shutdown: shutdown.signal,
    })
    metrics.sample({
      jobs: () => Object.entries(engine.health().counts),
      agents: () => Object.entries(countNodes({ engine })).filter(([state]) => !state.startsWith("slots")),
      database: () => store.health(),
      links: () => links.health(),
      certificate: () => certificate?.state ?? null,
    })
    const port = await openPort({
      host: config.host,
      port: config.port,
      tls: certificate?.pair ?? null,
      peers: new Peers({ trusted: config.trustedProxies, hasPublicUrl: config.publicUrl !== null }),
      plainText: certificate === null || config.insecure ? "everybody" : "loopback",
      onRequest: serve,
      onUpgrade: (request, socket, head) => links.handleUpgrade(request, socket, head),
      onConnections: open => metrics.connections.set(open),
      log,
    })
    certificate?.watch(pair => port.renew(pair))
    opened.push(() => certificate?.close())
    opened.push(async () => {
      // Agents first, who are told when to come back: the port would wait for their sockets.
      await links.drain()
      await port.close(options.drainMs ?? DRAIN_MS)
    })
    // First of all when it goes down: readyz says no, orders are refused, open calls end.
    opened.push(() => {
      void engine.drain()
      shutdown.abort(stopError())
    })

    const url = `${certificate === null ? "http" : "https"}://${hostOf(config.host)}:${port.port}`
    opened.push(await announce(config.data, { url, pid: process.pid, version }))
    if (config.publicUrl !== null && config.trustedProxies.length === 0 && isLoopback(port.host)) {
      log.warn(
        {},
        "if a proxy stands before the hub, name it with --trusted-proxy: bounds are then kept for its clients",
      )
    }
    log.info({ url, data: config.data, version, hub: store.hubId() }, "the hub is up")
    void retention.forgetOld()
    if (isNew) log.warn({ data: resolve(config.data), hub: store.hubId() }, "a new database was made")
    return {
      url,
      port: port.port,
      isNew,
      adminTokenPath: adminTokenPath(config.data),
      invite: async account => (await enrolments.create(account)).secret,
      reload: () => certificate?.reload(),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function takeDown(opened: readonly (() => Promise<void> | void)[], log: Log): Promise<void> {
  for (const close of [...opened].reverse()) {
    // One part that does not close, or not in time, must not keep the database from being closed properly.
    let late: NodeJS.Timeout | undefined
    const patience = new Promise<void>(resolve => {
      late = setTimeout(() => {
        log.warn({}, "a part of the hub did not close in time")
        resolve()
      }, 2 * DRAIN_MS)
    })
    await Promise.race([Promise.resolve().then(close), patience]).catch(error =>
      log.error({ error }, "a part of the hub did not close"),
    )
    clearTimeout(late)
  }
}

/** For programs: where the hub is, while it is. Written whole or not at all. */
async function announce(directory: string, told: Record<string, unknown>): Promise<() => void> {
  const path = join(directory, "hub.json")
  await writeFile(`${path}.new`, `${JSON.stringify(told)}\n`, { mode: 0o600 })
  await rename(`${path}.new`, path)
  return () => rmSync(path, { force: true })
}

interface CollectParts {
  readonly store: Store
  readonly blobs: BlobStore
  readonly engine: HubEngine
  readonly wallClock: WallClock
  readonly log: Log
}

/** The turn of what reads all blobs, or removes some. */
const UPKEEP = "blobs"

/** How mail leaves this hub; null: it does not. */
function postOf({ sendmail, smtp }: Config): Post | null {
  if (smtp !== null) return smtpPost(smtp)
  return sendmail === null ? null : sendmailPost(sendmail)
}

function collectNowAndThen(parts: CollectParts, upkeep: Turns): () => Promise<void> {
  const { store, blobs, engine, wallClock, log } = parts
  const collect = async () => {
    // What is garbage is a matter of age.
    if (wallClock.doubt() !== null) return
    try {
      const collected = await collectGarbage({
        store,
        blobs,
        commit: writes => engine.commit(writes),
        wallMs: clock.wallMs,
      })
      if (collected.blobs > 0) log.info({ ...collected }, "blobs that nothing names were removed")
    } catch (error) {
      log.warn({ error }, "blobs could not be collected this time")
    }
  }
  let round: Promise<void> = Promise.resolve()
  const interval = setInterval(() => {
    round = upkeep.take(UPKEEP, collect)
  }, COLLECT_EVERY_MS)
  return () => {
    clearInterval(interval)
    return round
  }
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 })
  } catch (cause) {
    const message = `the data directory ${path} cannot be made: ${(cause as Error).message}; choose another with --data`
    throw new CahError("failed_precondition", message, { cause })
  }
}

/** An address that others can use: of a hub that listens everywhere, its machine's name. */
function hostOf(host: string): string {
  if (host === "0.0.0.0" || host === "::") return hostname()
  return host.includes(":") ? `[${host}]` : host
}
