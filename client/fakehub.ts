// A hub for the client's tests: a real grpc-js server on loopback that speaks the scientist's service from its descriptors,
// keeps everything in memory, and misbehaves on request (fails calls, loses answers, cuts streams, sends wrong bytes).
// Shares no code with the hub and decides as little as it can. For tests only.
import { createHash } from "node:crypto"
import { EventEmitter, once } from "node:events"
import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf"
import { timestampNow } from "@bufbuild/protobuf/wkt"
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  status as Status,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js"
import {
  BlobSchema,
  type Campaign,
  CampaignSchema,
  type CampaignSpec,
  CountsSchema,
  type Job,
  JobSchema,
  type Node,
  Outcome,
  Phase,
  type Result,
  ResultSchema,
} from "../proto/gen/cah/v1/job_pb.ts"
import {
  type ErrorSummary,
  ErrorSummarySchema,
  Output,
  ScientistService,
  type SubmitRequest,
} from "../proto/gen/cah/v1/scientist_pb.ts"
import { Scope } from "../proto/gen/cah/v1/scope_pb.ts"

export const TOKEN = `cah_0123456789abcdef_${"a".repeat(64)}_00000000`

type MethodName = keyof typeof ScientistService.method
type Ending = {
  outcome?: Outcome
  exitCode?: number
  message?: string
  stdout?: string
  stderr?: string
  stageout?: Buffer
}
type Call =
  | ServerUnaryCall<unknown, unknown>
  | ServerReadableStream<unknown, unknown>
  | ServerWritableStream<unknown, unknown>

interface Kept {
  campaign: Campaign
  jobs: Job[]
  key: string
}

/** An error as the service gives it. */
export class Refusal extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

export interface FakeHubOptions {
  /** How each job ends, at once; undefined leaves it queued. */
  readonly endOf?: (index: number, spec: CampaignSpec, parameters: string) => Ending | undefined
  readonly tls?: { key: Buffer; cert: Buffer }
}

export class FakeHub {
  readonly campaigns = new Map<bigint, Kept>()
  readonly blobs = new Map<string, Buffer>()
  readonly partial = new Map<string, Buffer>()
  readonly nodes: Node[] = []
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
  /** What FollowLog sends. */
  following: string[] = []
  readonly #failures = new Map<MethodName, { code: number; message: string; afterwards: boolean }[]>()
  readonly #changed = new EventEmitter().setMaxListeners(0)
  readonly #options: FakeHubOptions
  #server: Server | null = null
  #port = 0

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
    const server = new Server()
    server.addService(definition(), this.#implementation())
    const { tls } = this.#options
    const credentials =
      tls === undefined
        ? ServerCredentials.createInsecure()
        : ServerCredentials.createSsl(null, [{ private_key: tls.key, cert_chain: tls.cert }])
    this.#port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${this.#port}`, credentials, (error, port) => (error ? reject(error) : resolve(port)))
    })
    this.#server = server
  }

  /** Gone at once, as by SIGKILL. */
  stop(): void {
    this.#server?.forceShutdown()
    this.#server = null
  }

  /** The next call of the method fails; with `afterwards` it does its work first and the answer is lost. */
  failNext(method: MethodName, code: number, message: string, afterwards = false): void {
    this.#failures.set(method, [...(this.#failures.get(method) ?? []), { code, message, afterwards }])
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
    const result = create(ResultSchema, { outcome, exitCode: ending.exitCode ?? 0, message: ending.message ?? "" })
    if (ending.stageout !== undefined) result.stageout = this.keep(ending.stageout)
    for (const name of ["stdout", "stderr"] as const) {
      const bytes = Buffer.from(ending[name] ?? "")
      const log = { $typeName: "cah.v1.Log", inline: new Uint8Array(), droppedBytes: 0n } as const
      result[name] = bytes.length > 16 * 1024 ? { ...log, blob: this.keep(bytes) } : { ...log, inline: bytes }
    }
    return result
  }

  #submit(request: SubmitRequest, endOf = this.#options.endOf): Kept {
    const spec = request.spec
    if (spec === undefined) throw new Refusal(Status.INVALID_ARGUMENT, "there is no spec")
    const same = [...this.campaigns.values()].find(({ key }) => key !== "" && key === request.idempotencyKey)
    if (same !== undefined) return same
    const id = BigInt(this.campaigns.size + 1)
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
    const kept = { campaign, jobs, key: request.idempotencyKey }
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

  // ---- the service ----

  #implementation(): UntypedServiceImplementation {
    const { method } = ScientistService
    return {
      ...this.#unary("whoAmI", method.whoAmI, () => ({
        principal: "ada",
        scopes: [Scope.READ, Scope.SUBMIT, Scope.CANCEL],
        hubId: "fake",
        hubVersion: "0",
      })),
      ...this.#unary("submit", method.submit, request => {
        const before = this.campaigns.size
        const { campaign, jobs } = this.#submit(request)
        return { campaign: campaign.id, jobs: jobs.length, existed: this.campaigns.size === before }
      }),
      ...this.#unary("listCampaigns", method.listCampaigns, ({ limit, before, live }) => ({
        campaigns: [...this.campaigns.values()]
          .map(({ campaign }) => campaign)
          .filter(({ id, endedAt }) => (before === 0n || id < before) && (!live || endedAt === undefined))
          .sort((a, b) => Number(b.id - a.id))
          .slice(0, limit === 0 ? 100 : limit),
      })),
      ...this.#unary("getCampaign", method.getCampaign, request => {
        const kept = this.#kept(request.campaign)
        return { campaign: kept.campaign, errors: this.#errorsOf(kept) }
      }),
      ...this.#unary("listJobs", method.listJobs, ({ campaign, limit, fromIndex, phase, outcome }) => ({
        jobs: this.#kept(campaign)
          .jobs.filter(
            job =>
              (job.id?.index ?? 0) >= fromIndex &&
              (phase === Phase.UNSPECIFIED || job.phase === phase) &&
              (outcome === Outcome.UNSPECIFIED || job.outcome === outcome),
          )
          .slice(0, limit === 0 ? 100 : limit),
      })),
      ...this.#unary("getJob", method.getJob, ({ id }) => ({ job: this.#jobOf(id) })),
      ...this.#unary("cancel", method.cancel, ({ campaign, ranges }) => {
        const kept = this.#kept(campaign)
        const chosen = kept.jobs.filter(
          ({ id, phase }) =>
            phase !== Phase.ENDED &&
            (ranges.length === 0 ||
              ranges.some(({ first, last }) => (id?.index ?? -1) >= first && (id?.index ?? -1) <= last)),
        )
        for (const { id } of chosen) this.end(campaign, id?.index ?? -1, { outcome: Outcome.CANCELLED })
        return { cancelled: chosen.length }
      }),
      ...this.#unary("setHold", method.setHold, ({ campaign, held }) => {
        this.#kept(campaign).campaign.held = held
        return {}
      }),
      ...this.#unary("listNodes", method.listNodes, ({ after }) => ({
        nodes: this.nodes.filter(({ id }) => id > after),
      })),
      ...this.#unary("getUpload", method.getUpload, ({ blob }) => {
        const stored = this.blobs.has(blob?.digest ?? "")
        return {
          stored,
          offset: stored ? (blob?.sizeBytes ?? 0n) : BigInt(this.partial.get(blob?.digest ?? "")?.length ?? 0),
        }
      }),
      ...this.#clientStream("submitStream", method.submitStream, async requests => {
        let whole: SubmitRequest | null = null
        for await (const request of requests) {
          if (whole === null) whole = { ...request, $typeName: "cah.v1.SubmitRequest" }
          else whole.parameters.push(...request.parameters)
        }
        if (whole === null) throw new Refusal(Status.INVALID_ARGUMENT, "nothing came")
        const { campaign, jobs } = this.#submit(whole)
        return { campaign: campaign.id, jobs: jobs.length, existed: false }
      }),
      ...this.#clientStream("upload", method.upload, requests => this.#upload(requests)),
      ...this.#serverStream("watchCampaign", method.watchCampaign, (request, ended) => this.#watch(request, ended)),
      ...this.#serverStream("download", method.download, request => this.#download(request)),
      ...this.#serverStream("followLog", method.followLog, request => this.#follow(request)),
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
    if (digest !== blob.digest) throw new Refusal(Status.DATA_LOSS, `the upload is ${digest}, not ${blob.digest}`)
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

  *#follow({ job: id }: MessageShape<typeof ScientistService.method.followLog.input>) {
    const job = this.#jobOf(id)
    for (const text of this.following) yield { data: Buffer.from(text) }
    if (job.id !== undefined) this.end(job.id.campaign, job.id.index, {})
  }

  // ---- between grpc-js and the methods ----

  #arrived(name: MethodName, call: Call): (() => void) | null {
    this.calls.push(name)
    this.#changed.emit("call")
    if (call.metadata.get("authorization")[0] !== `Bearer ${TOKEN}`) {
      throw new Refusal(Status.UNAUTHENTICATED, "this token is not known here")
    }
    const failure = this.#failures.get(name)?.shift()
    if (failure === undefined) return null
    const fail = () => {
      throw new Refusal(failure.code, failure.message)
    }
    return failure.afterwards ? fail : fail()
  }

  #unary<I extends DescMessage, O extends DescMessage>(
    name: MethodName,
    _method: { input: I; output: O },
    answer: (request: MessageShape<I>) => object,
  ): UntypedServiceImplementation {
    return {
      [name]: (call: ServerUnaryCall<MessageShape<I>, unknown>, callback: sendUnaryData<unknown>) => {
        try {
          const late = this.#arrived(name, call)
          const value = answer(call.request)
          late?.()
          callback(null, value)
        } catch (thrown) {
          callback(refusal(thrown), null)
        }
      },
    }
  }

  #clientStream<I extends DescMessage, O extends DescMessage>(
    name: MethodName,
    _method: { input: I; output: O },
    answer: (requests: AsyncIterable<MessageShape<I>>) => Promise<object>,
  ): UntypedServiceImplementation {
    return {
      [name]: (call: ServerReadableStream<MessageShape<I>, unknown>, callback: sendUnaryData<unknown>) => {
        const work = async () => {
          const late = this.#arrived(name, call)
          const value = await answer(call.iterator({ destroyOnReturn: false }) as AsyncIterable<MessageShape<I>>)
          late?.()
          return value
        }
        work().then(
          value => callback(null, value),
          thrown => callback(refusal(thrown), null),
        )
      },
    }
  }

  #serverStream<I extends DescMessage, O extends DescMessage>(
    name: MethodName,
    _method: { input: I; output: O },
    answer: (request: MessageShape<I>, ended: AbortSignal) => AsyncIterable<object> | Iterable<object>,
  ): UntypedServiceImplementation {
    return {
      [name]: (call: ServerWritableStream<MessageShape<I>, unknown>) => {
        const ended = new AbortController()
        call.on("cancelled", () => ended.abort())
        const work = async () => {
          const late = this.#arrived(name, call)
          for await (const message of answer(call.request, ended.signal)) {
            if (ended.signal.aborted) return
            if (!call.write(message)) await once(call, "drain", { signal: ended.signal })
          }
          late?.()
        }
        work().then(
          () => call.end(),
          thrown => {
            if (!ended.signal.aborted) call.emit("error", refusal(thrown))
          },
        )
      },
    }
  }
}

function refusal(thrown: unknown) {
  const code = thrown instanceof Refusal ? thrown.code : Status.INTERNAL
  const details = thrown instanceof Error ? thrown.message : String(thrown)
  return Object.assign(new Error(details), { code, details, metadata: new Metadata() })
}

function definition() {
  const methods: Record<string, object> = {}
  for (const method of ScientistService.methods) {
    const kind = method.methodKind
    methods[method.localName] = {
      path: `/${ScientistService.typeName}/${method.name}`,
      requestStream: kind === "client_streaming" || kind === "bidi_streaming",
      responseStream: kind === "server_streaming" || kind === "bidi_streaming",
      requestDeserialize: (bytes: Buffer) => fromBinary(method.input, bytes),
      responseSerialize: (value: Record<string, unknown>) =>
        Buffer.from(toBinary(method.output, create(method.output, value))),
      requestSerialize: (value: Record<string, unknown>) =>
        Buffer.from(toBinary(method.input, create(method.input, value))),
      responseDeserialize: (bytes: Buffer) => fromBinary(method.output, bytes),
    }
  }
  return methods as Parameters<Server["addService"]>[0]
}
