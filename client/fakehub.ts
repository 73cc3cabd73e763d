// A hub for the client's tests: a real grpc-js server on loopback that speaks the scientist's service from its descriptors,
// keeps everything in memory, and misbehaves on request (fails calls, loses answers, cuts streams, sends wrong bytes).
// Shares no code with the hub and decides as little as it can. For tests only.
import { createHash } from "node:crypto"
import { EventEmitter, once } from "node:events"
import { create, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf"
import { timestampNow } from "@bufbuild/protobuf/wkt"
import { status as Status } from "@grpc/grpc-js"
import {
  BlobSchema,
  type Campaign,
  CampaignSchema,
  type CampaignSpec,
  CountsSchema,
  type Job,
  JobSchema,
  type Node,
  NodeState,
  Outcome,
  Phase,
  type Result,
  ResultSchema,
  TotalsSchema,
} from "../proto/gen/cah/v1/job_pb.ts"
import { OperatorService, type Token, TokenSchema } from "../proto/gen/cah/v1/operator_pb.ts"
import {
  type ErrorSummary,
  ErrorSummarySchema,
  type ExplainResponseSchema,
  type Notice,
  Output,
  type PlanResponseSchema,
  ScientistService,
  type SubmitRequest,
  type SubmitResponseSchema,
  type WarningSummary,
  WarningSummarySchema,
} from "../proto/gen/cah/v1/scientist_pb.ts"
import { Scope } from "../proto/gen/cah/v1/scope_pb.ts"
import { type Call, FakeServer, type Methods, Refusal } from "./fakeserver.ts"

export { Refusal } from "./fakeserver.ts"

export const CUT = "cut"
export const TOKEN = `cah_0123456789abcdef_${"a".repeat(64)}_00000000`

type MethodName = keyof typeof ScientistService.method | keyof typeof OperatorService.method
type Ending = {
  outcome?: Outcome
  exitCode?: number
  message?: string
  warnings?: string
  stdout?: string
  stderr?: string
  stageout?: Buffer
}

interface Kept {
  campaign: Campaign
  jobs: Job[]
  key: string
  notices: readonly Notice[]
}

export interface FakeHubOptions {
  /** How each job ends, at once; undefined leaves it queued. */
  readonly endOf?: (index: number, spec: CampaignSpec, parameters: string) => Ending | undefined
  readonly tls?: { key: Buffer; cert: Buffer }
}

/** Of a call that fails: only once its work is done, and with what detail. */
interface How {
  readonly afterwards?: boolean
  readonly detail?: Refusal["detail"]
}

export class FakeHub {
  readonly campaigns = new Map<bigint, Kept>()
  readonly blobs = new Map<string, Buffer>()
  readonly partial = new Map<string, Buffer>()
  readonly nodes: Node[] = []
  readonly tokens: Token[] = []
  readonly shares = new Map<string, number>()
  /** Further fields of the next submit's answer; what Plan answers (null: it is an older hub), and Explain. */
  submitted: Omit<MessageInitShape<typeof SubmitResponseSchema>, "$typeName"> = {}
  plan: Omit<MessageInitShape<typeof PlanResponseSchema>, "$typeName"> | null = {}
  explanation: Omit<MessageInitShape<typeof ExplainResponseSchema>, "$typeName"> = {}
  /** What RetryJobs says waits for it again. */
  dependants: bigint[] = []
  /** Names of all calls that arrived, in order. */
  readonly calls: MethodName[] = []
  /** Bytes that came in uploads. */
  uploadedBytes = 0
  /** Cuts the next uploads after this many bytes. */
  cutUploadsAt: number[] = []
  /** Cuts the next downloads after this many bytes. */
  cutDownloadsAt: number[] = []
  /** Sends this in place of a stageout's bytes, under the right digest, so many times. */
  damage: { bytes: Buffer; times: number } | null = null
  /** What FollowLog sends; at a CUT it fails once, as a hub that is restarted. */
  following: string[] = []
  readonly #failures = new Map<MethodName, { code: number; message: string; how: How }[]>()
  readonly #changed = new EventEmitter().setMaxListeners(0)
  readonly #options: FakeHubOptions
  #server: FakeServer | null = null
  #port = 0
  #nextId = 1n

  private constructor(options: FakeHubOptions) {
    this.#options = options
  }

  static async start(options: FakeHubOptions = {}): Promise<FakeHub> {
    const hub = new FakeHub(options)
    await hub.resume()
    return hub
  }

  get url(): string {
    return `${this.#options.tls === undefined ? "http" : "https"}://127.0.0.1:${this.#port}`
  }

  /** Listens; after a stop on the same port, with all that was kept. */
  async resume(): Promise<void> {
    const server = new FakeServer()
    const arrived = (name: string, call: Call) => this.#arrived(name, call)
    server.add(ScientistService, arrived, this.#scientist())
    server.add(OperatorService, arrived, this.#operator())
    this.#port = await server.listen(this.#port, this.#options.tls)
    this.#server = server
  }

  /** Gone at once, as by SIGKILL. */
  stop(): void {
    this.#server?.stop()
    this.#server = null
  }

  /** The next call of the method fails; with `afterwards` it does its work first and the answer is lost. */
  failNext(method: MethodName, code: number, message: string, how: How = {}): void {
    this.#failures.set(method, [...(this.#failures.get(method) ?? []), { code, message, how }])
  }

  /** Waits for the next call of a method to arrive. */
  async called(method: MethodName): Promise<void> {
    while (!this.calls.includes(method)) await once(this.#changed, "call")
  }

  add(spec: Partial<CampaignSpec>, total: number, endOf = this.#options.endOf): bigint {
    const request = { idempotencyKey: "", spec: { ...spec, array: total }, parameters: [] }
    return this.#submit(request as unknown as SubmitRequest, endOf).campaign.id
  }

  end(campaign: bigint, index: number, ending: Ending): void {
    const kept = this.#kept(campaign)
    const job = kept.jobs[index]
    if (job === undefined) throw new Error(`no job ${campaign}.${index}`)
    job.phase = Phase.ENDED
    job.outcome = ending.outcome ?? Outcome.FINISHED
    job.attempt = Math.max(1, job.attempt)
    job.result = this.#result(job.outcome, ending)
    this.#count(kept)
    this.#changed.emit("campaign", campaign, job)
  }

  running(campaign: bigint, index: number): void {
    const kept = this.#kept(campaign)
    const job = kept.jobs[index]
    if (job !== undefined) job.phase = Phase.RUNNING
    this.#count(kept)
    this.#changed.emit("campaign", campaign, null)
  }

  keep(bytes: Buffer) {
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`
    this.blobs.set(digest, bytes)
    return create(BlobSchema, { digest, sizeBytes: BigInt(bytes.length) })
  }

  #result(outcome: Outcome, ending: Ending): Result {
    const { exitCode = 0, message = "", warnings = "" } = ending
    const result = create(ResultSchema, { outcome, exitCode, message, warnings })
    if (ending.stageout !== undefined) result.stageout = this.keep(ending.stageout)
    for (const name of ["stdout", "stderr"] as const) {
      const bytes = Buffer.from(ending[name] ?? "")
      const log = { $typeName: "cah.v1.Log", inline: new Uint8Array(), droppedBytes: 0n } as const
      result[name] = bytes.length > 16 * 1024 ? { ...log, blob: this.keep(bytes) } : { ...log, inline: bytes }
    }
    return result
  }

  #answerTo(request: SubmitRequest) {
    const before = this.campaigns.size
    const { campaign, jobs } = this.#submit(request)
    return { campaign: campaign.id, jobs: jobs.length, existed: this.campaigns.size === before, ...this.submitted }
  }

  #submit(request: SubmitRequest, endOf = this.#options.endOf): Kept {
    const spec = request.spec
    if (spec === undefined) throw new Refusal(Status.INVALID_ARGUMENT, "there is no spec")
    const same = [...this.campaigns.values()].find(({ key }) => key !== "" && key === request.idempotencyKey)
    if (same !== undefined) return same
    const id = this.#nextId++
    const total = request.parameters.length > 0 ? request.parameters.length : Math.max(1, spec.array)
    const jobs = Array.from({ length: total }, (_, index) =>
      create(JobSchema, {
        id: { campaign: id, index },
        phase: Phase.QUEUED,
        parameters: { line: request.parameters[index]?.line ?? "" },
        story: [{ at: timestampNow(), event: "submitted", phase: Phase.QUEUED }],
      }),
    )
    const campaign = create(CampaignSchema, {
      id,
      name: spec.name ?? "",
      owner: "ada",
      submittedAt: timestampNow(),
      held: spec.hold ?? false,
      waitsFor: (spec.after ?? []).map(one => one.campaign),
      spec,
    })
    const kept = { campaign, jobs, key: request.idempotencyKey, notices: request.notices ?? [] }
    this.campaigns.set(id, kept)
    this.#count(kept)
    for (const [index] of jobs.entries()) {
      const ending = endOf?.(index, spec, request.parameters[index]?.line ?? "")
      if (ending !== undefined) this.end(id, index, ending)
    }
    return kept
  }

  #count({ campaign, jobs }: Kept): void {
    const of = (phase: Phase) => jobs.filter(job => job.phase === phase).length
    const ended = (outcome: Outcome) => jobs.filter(job => job.phase === Phase.ENDED && job.outcome === outcome).length
    campaign.counts = create(CountsSchema, {
      total: jobs.length,
      queued: of(Phase.QUEUED),
      held: of(Phase.HELD),
      running: of(Phase.RUNNING),
      finished: ended(Outcome.FINISHED),
      failed: ended(Outcome.FAILED),
      timedout: ended(Outcome.TIMEDOUT),
      lost: ended(Outcome.LOST),
      cancelled: ended(Outcome.CANCELLED),
    })
    if (of(Phase.ENDED) === jobs.length) campaign.endedAt ??= timestampNow()
  }

  #kept(id: bigint): Kept {
    const kept = this.campaigns.get(id)
    if (kept === undefined) throw new Refusal(Status.NOT_FOUND, `there is no campaign ${id}`)
    return kept
  }

  #chosen(campaign: bigint, ranges: readonly { first: number; last: number }[]): Job[] {
    return this.#kept(campaign).jobs.filter(
      ({ id }) =>
        ranges.length === 0 ||
        ranges.some(({ first, last }) => (id?.index ?? -1) >= first && (id?.index ?? -1) <= last),
    )
  }

  #jobOf(id: { campaign: bigint; index: number } | undefined): Job {
    const job = id === undefined ? undefined : this.#kept(id.campaign).jobs[id.index]
    if (job === undefined) throw new Refusal(Status.NOT_FOUND, `there is no job ${id?.campaign}.${id?.index}`)
    return job
  }

  #errorsOf({ jobs }: Kept): ErrorSummary[] {
    const errors = new Map<string, ErrorSummary>()
    for (const { phase, outcome, result, id } of jobs) {
      if (phase !== Phase.ENDED || outcome === Outcome.FINISHED || id === undefined) continue
      const { exitCode = 0, message = "" } = result ?? {}
      const key = `${outcome} ${exitCode} ${message}`
      const known = errors.get(key)
      if (known !== undefined) known.count++
      else errors.set(key, create(ErrorSummarySchema, { outcome, exitCode, message, count: 1, example: id }))
    }
    return [...errors.values()].sort((a, b) => b.count - a.count)
  }

  #warningsOf({ jobs }: Kept): WarningSummary[] {
    const warnings = new Map<string, WarningSummary>()
    for (const { result, id } of jobs) {
      const text = result?.warnings ?? ""
      if (text === "" || id === undefined) continue
      const known = warnings.get(text)
      if (known !== undefined) known.count++
      else warnings.set(text, create(WarningSummarySchema, { text, count: 1, example: id }))
    }
    return [...warnings.values()].sort((a, b) => b.count - a.count)
  }

  #retry(id: bigint, ranges: readonly { first: number; last: number }[], seen: bigint | undefined) {
    const kept = this.#kept(id)
    kept.campaign.totals ??= create(TotalsSchema)
    const { totals } = kept.campaign
    if (seen !== undefined && seen + 1n === totals.resubmissions) return { campaign: id, existed: true }
    const chosen = this.#chosen(id, ranges).filter(one => one.phase === Phase.ENDED && one.outcome !== Outcome.FINISHED)
    if (chosen.length === 0) throw new Refusal(Status.FAILED_PRECONDITION, "there is nothing to try again")
    for (const job of chosen) job.phase = Phase.QUEUED
    totals.resubmissions++
    delete kept.campaign.endedAt
    this.#count(kept)
    return { campaign: id, jobs: chosen.length, dependants: this.dependants }
  }

  // ---- the service ----

  #scientist(): Methods<typeof ScientistService> {
    return {
      whoAmI: () => ({
        principal: "ada",
        scopes: [Scope.READ, Scope.SUBMIT, Scope.CANCEL],
        hubId: "fake",
        hubVersion: "0",
        quota: {
          jobsMax: 1_000n,
          jobs: 950n,
          bytesMax: 10n ** 9n,
          bytes: 0n,
          watchesMax: 200,
          submitsPerSecondMax: 50,
        },
      }),
      submit: request => this.#answerTo(request),
      submitStream: async requests => {
        let whole: SubmitRequest | null = null
        for await (const request of requests) {
          if (whole === null) whole = { ...request, $typeName: "cah.v1.SubmitRequest" }
          else whole.parameters.push(...request.parameters)
        }
        if (whole === null) throw new Refusal(Status.INVALID_ARGUMENT, "nothing came")
        return this.#answerTo(whole)
      },
      plan: request => {
        if (this.plan === null) throw new Refusal(Status.UNIMPLEMENTED, "not here")
        return { jobs: request.jobs, ...this.plan }
      },
      explain: ({ campaign, index }) => {
        this.#jobOf({ campaign, index: index ?? 0 })
        return { index, ...this.explanation }
      },
      listCampaigns: ({ limit, before, live }) => ({
        campaigns: [...this.campaigns.values()]
          .map(({ campaign }) => campaign)
          .filter(({ id, endedAt }) => (before === 0n || id < before) && (!live || endedAt === undefined))
          .sort((a, b) => Number(b.id - a.id))
          .slice(0, limit === 0 ? 100 : limit),
      }),
      getCampaign: request => {
        const kept = this.#kept(request.campaign)
        return { campaign: kept.campaign, errors: this.#errorsOf(kept), warnings: this.#warningsOf(kept) }
      },
      listJobs: ({ campaign, limit, fromIndex, phase, outcome }) => ({
        jobs: this.#kept(campaign)
          .jobs.filter(
            job =>
              (job.id?.index ?? 0) >= fromIndex &&
              (phase === Phase.UNSPECIFIED || job.phase === phase) &&
              (outcome === Outcome.UNSPECIFIED || job.outcome === outcome),
          )
          .slice(0, limit === 0 ? 100 : limit),
      }),
      getJob: ({ id }) => ({ job: this.#jobOf(id) }),
      cancel: ({ campaign, ranges }) => {
        const chosen = this.#chosen(campaign, ranges).filter(({ phase }) => phase !== Phase.ENDED)
        for (const { id } of chosen) this.end(campaign, id?.index ?? -1, { outcome: Outcome.CANCELLED })
        return { cancelled: chosen.length }
      },
      setHold: ({ campaign, held, ranges }) => {
        const kept = this.#kept(campaign)
        if (ranges.length === 0) {
          kept.campaign.held = held
          return { jobs: 0 }
        }
        const [from, to] = held ? [Phase.QUEUED, Phase.HELD] : [Phase.HELD, Phase.QUEUED]
        const chosen = this.#chosen(campaign, ranges).filter(({ phase }) => phase === from)
        for (const job of chosen) job.phase = to
        this.#count(kept)
        return { jobs: chosen.length }
      },
      retryJobs: ({ campaign, ranges, seenResubmissions: seen }) => this.#retry(campaign, ranges, seen),
      forget: ({ campaign }) => {
        if (this.#kept(campaign).campaign.endedAt === undefined) {
          throw new Refusal(Status.FAILED_PRECONDITION, `campaign ${campaign} has not ended`)
        }
        this.campaigns.delete(campaign)
        return {}
      },
      listBlobs: () => ({
        blobs: [...this.blobs].map(([digest, bytes]) => ({
          blob: { digest, sizeBytes: BigInt(bytes.length) },
          usedAt: { seconds: 1_700_000_000n },
          campaigns: [],
        })),
      }),
      removeBlob: ({ digest }) => {
        if (!this.blobs.delete(digest)) throw new Refusal(Status.NOT_FOUND, `there is no blob ${digest}`)
        return {}
      },
      listNodes: ({ after }) => ({ nodes: this.nodes.filter(({ id }) => id > after) }),
      getUpload: ({ blob }) => {
        const stored = this.blobs.has(blob?.digest ?? "")
        return {
          stored,
          offset: stored ? (blob?.sizeBytes ?? 0n) : BigInt(this.partial.get(blob?.digest ?? "")?.length ?? 0),
        }
      },
      upload: requests => this.#upload(requests),
      watchCampaign: (request, ended) => this.#watch(request, ended),
      download: request => this.#download(request),
      followLog: request => this.#follow(request),
    }
  }

  #operator(): Methods<typeof OperatorService> {
    const node = (id: string) => {
      const found = this.nodes.find(one => one.id === id)
      if (found === undefined) throw new Refusal(Status.NOT_FOUND, `there is no node ${id}`)
      return found
    }
    return {
      createToken: ({ principal, scopes, lifetime }) => {
        const id = `token${this.tokens.length}`
        const expiresAt = lifetime === undefined ? {} : { expiresAt: { seconds: 1_700_000_000n + lifetime.seconds } }
        const token = create(TokenSchema, { id, principal, scopes, createdAt: timestampNow(), ...expiresAt })
        this.tokens.push(token)
        return { token, secret: `cah_${id}_secret` }
      },
      listTokens: () => ({ tokens: this.tokens }),
      revokeToken: ({ id }) => {
        const token = this.tokens.find(one => one.id === id)
        if (token === undefined) throw new Refusal(Status.NOT_FOUND, `there is no token ${id}`)
        token.revokedAt = timestampNow()
        return {}
      },
      createEnrolment: ({ account, uses }) => ({ secret: `cahjoin_${account}_${uses}`, expiresAt: timestampNow() }),
      drainNode: ({ node: id, drained }) => {
        node(id).state = drained ? NodeState.DRAINED : NodeState.ONLINE
        return {}
      },
      releaseNode: ({ node: id }) => {
        const released = node(id)
        released.state = NodeState.ONLINE
        delete released.quarantine
        return {}
      },
      revokeNode: ({ node: id }) => {
        node(id).state = NodeState.REVOKED
        return {}
      },
      async *backup({ keep }) {
        const far = { name: "2026-12-01T10-00-00Z", blobs: 2n }
        yield { ...far, blobsDone: 1n }
        const made = {
          path: "/backups/2026-12-01T10-00-00Z",
          campaigns: 3n,
          blobBytes: 1_200n,
          removed: keep === 1 ? ["older"] : [],
        }
        yield { ...far, blobsDone: 2n, copiedBlobs: 1n, copiedBytes: 700n, made }
      },
      forgetNode: ({ node: id }) => {
        if (node(id).state === NodeState.ONLINE)
          throw new Refusal(Status.FAILED_PRECONDITION, `node ${id} is connected`)
        this.nodes.splice(this.nodes.indexOf(node(id)), 1)
        return {}
      },
      listShares: () => ({
        shares: [...this.shares].map(([owner, share]) => ({ owner, share, usedCoreSeconds: 90, slotsNow: 2 })),
      }),
      setShare: ({ owner, share }) => {
        this.shares.set(owner, share)
        return {}
      },
    }
  }

  async #upload(requests: AsyncIterable<MessageShape<typeof ScientistService.method.upload.input>>) {
    let blob = create(BlobSchema)
    let bytes: Buffer = Buffer.alloc(0)
    const cutAt = this.cutUploadsAt.shift() ?? Number.POSITIVE_INFINITY
    let came = 0
    for await (const request of requests) {
      if (request.blob !== undefined) {
        blob = request.blob
        const have = this.partial.get(blob.digest) ?? Buffer.alloc(0)
        if (Number(request.offset) !== have.length) throw new Refusal(Status.ABORTED, `go on at ${have.length}`)
        bytes = have
      }
      came += request.data.length
      this.uploadedBytes += request.data.length
      bytes = Buffer.concat([bytes, request.data])
      this.partial.set(blob.digest, bytes)
      if (came >= cutAt) throw new Refusal(Status.UNAVAILABLE, "the wire was cut")
    }
    this.partial.delete(blob.digest)
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`
    if (digest !== blob.digest)
      throw new Refusal(Status.INVALID_ARGUMENT, `the upload is ${digest}, not ${blob.digest}`)
    this.blobs.set(digest, bytes)
    return { blob }
  }

  async *#watch(request: MessageShape<typeof ScientistService.method.watchCampaign.input>, ended: AbortSignal) {
    const kept = this.#kept(request.campaign)
    const news: (Job | null)[] = []
    let wake = () => {}
    const listen = (campaign: bigint, job: Job | null) => {
      if (campaign === request.campaign) news.push(job)
      wake()
    }
    this.#changed.on("campaign", listen)
    ended.addEventListener("abort", () => wake(), { once: true })
    try {
      yield { campaign: kept.campaign, ended: [] }
      while (!ended.aborted) {
        if (news.length > 0) {
          const jobs = news.splice(0).filter(job => job !== null)
          yield { campaign: kept.campaign, ended: request.jobs ? jobs : [] }
        } else if (kept.campaign.endedAt !== undefined) return
        else
          await new Promise<void>(resolve => {
            wake = resolve
          })
      }
    } finally {
      this.#changed.off("campaign", listen)
    }
  }

  *#download({ job: id, output, offset }: MessageShape<typeof ScientistService.method.download.input>) {
    const result = this.#jobOf(id).result
    const log = output === Output.STDERR ? result?.stderr : result?.stdout
    const named = output === Output.STAGEOUT ? result?.stageout : log?.blob
    const stored = named === undefined ? Buffer.from(log?.inline ?? []) : this.blobs.get(named.digest)
    if (stored === undefined || result === undefined) throw new Refusal(Status.NOT_FOUND, "nothing came back")
    const damaged = this.damage !== null && this.damage.times-- > 0 ? this.damage.bytes : null
    const bytes = damaged ?? stored
    const cutAt = this.cutDownloadsAt.shift() ?? Number.POSITIVE_INFINITY
    const blob = named ?? this.keep(stored)
    yield { blob, offset, data: new Uint8Array() }
    let sent = 0
    for (let at = Number(offset); at < bytes.length; at += 64 * 1024) {
      const data = bytes.subarray(at, at + 64 * 1024)
      yield { data }
      sent += data.length
      if (sent >= cutAt) throw new Refusal(Status.UNAVAILABLE, "the wire was cut")
    }
  }

  *#follow({ job: id, offset: from }: MessageShape<typeof ScientistService.method.followLog.input>) {
    const job = this.#jobOf(id)
    let at = 0n
    for (const text of this.following) {
      if (text === CUT) {
        this.following = this.following.filter(one => one !== CUT)
        throw new Refusal(Status.UNAVAILABLE, "the hub is stopping")
      }
      const [data, offset] = [Buffer.from(text), at]
      at += BigInt(data.length)
      if (at > from) yield { data, offset, attempt: 1 }
    }
    if (job.id !== undefined) this.end(job.id.campaign, job.id.index, {})
  }

  /** Before the method: what was asked is remembered, who asks is looked at, and a failure that was ordered happens. */
  #arrived(name: string, call: Call): (() => void) | null {
    this.calls.push(name as MethodName)
    this.#changed.emit("call")
    if (call.metadata.get("authorization")[0] !== `Bearer ${TOKEN}`) {
      throw new Refusal(Status.UNAUTHENTICATED, "this token is not known here")
    }
    const failure = this.#failures.get(name as MethodName)?.shift()
    if (failure === undefined) return null
    const fail = () => {
      throw new Refusal(failure.code, failure.message, failure.how.detail)
    }
    return failure.how.afterwards === true ? fail : fail()
  }
}
