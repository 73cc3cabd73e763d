// The hub as a library: `import { Hub } from "clouds-at-home/client"`. What `cah` does, without its words: typed calls,
// typed errors (ClientError), async iterables for what is long. Retries and resumes by itself; prints nothing, reads no
// configuration, and stops everything when its signal is aborted.
import { readFileSync } from "node:fs"
import type { MessageInitShape } from "@bufbuild/protobuf"
import { timestampMs } from "@bufbuild/protobuf/wkt"
import { v7 as uuidv7 } from "uuid"
import type { Blob, Campaign, CampaignSpecSchema, Job, Node, Outcome, Phase } from "../proto/gen/cah/v1/job_pb.ts"
import {
  type ExplainResponse,
  type GetCampaignResponse,
  type NoticeSchema,
  Output,
  type OwnedBlob,
  type PlanResponse,
  type RetryJobsResponse,
  ScientistService,
  type SubmitResponse,
  type SubmitStreamRequestSchema,
  type WatchCampaignResponse,
  type WhoAmIResponse,
} from "../proto/gen/cah/v1/scientist_pb.ts"
import { pause, waitMs } from "./backoff.ts"
import { hubUrl } from "./config.ts"
import { ClientError, isTransient, usage } from "./errors.ts"
import {
  CALL_WAIT_MIN_MS,
  PAGE_MAX,
  PARAMETER_MESSAGE_BYTES,
  PARAMETER_ROWS_MAX,
  RANGES_MAX,
  WATCH_WAIT_MAX_MS,
} from "./limits.ts"
import { Operator } from "./operator.ts"
import { type CallOptions, type Retry, Rpc, repeat } from "./rpc.ts"
import type { Range } from "./selector.ts"
import { packStagein, type StageinOptions } from "./stagein.ts"
import { hasEnded } from "./text.ts"
import { downloadFile, patient, type TransferOptions, uploadFile, type Wanted } from "./transfer.ts"

export type { Blob, Campaign, Job, Node } from "../proto/gen/cah/v1/job_pb.ts"
export { Outcome, Phase } from "../proto/gen/cah/v1/job_pb.ts"
export { Cause, Occasion, Output } from "../proto/gen/cah/v1/scientist_pb.ts"
export { ClientError, type ErrorCode } from "./errors.ts"
export { Operator } from "./operator.ts"
export type { Range } from "./selector.ts"

export interface HubOptions {
  readonly url: string | URL
  readonly token?: string | null
  /** A file of PEM certificates to trust in place of the system's. */
  readonly caFile?: string | null
  /** Ends every call and every wait. Its reason is what they throw. */
  readonly signal?: AbortSignal
  /** Told before each wait for a hub that does not answer. */
  readonly onWait?: (error: ClientError, ms: number) => void
}

export interface Submission {
  readonly spec: MessageInitShape<typeof CampaignSpecSchema>
  /** One job a line. Without it, `spec.array` says how many jobs there are. */
  readonly parameters?: readonly string[]
  /** Whom the hub tells of it, and of what. */
  readonly notices?: readonly MessageInitShape<typeof NoticeSchema>[]
  /** Made here if not given. The same key with the same content never makes a second campaign. */
  readonly idempotencyKey?: string
}

export interface JobName {
  readonly campaign: bigint
  readonly index: number
}

const watchBackoff = { minMs: CALL_WAIT_MIN_MS, maxMs: WATCH_WAIT_MAX_MS }

/** While a log is followed: it begins again with another attempt, or bytes are missing (fewer than none: the log has less than was seen). */
export type FollowNews =
  | { readonly kind: "attempt"; readonly attempt: number }
  | { readonly kind: "gap"; readonly bytes: number }

export class Hub {
  readonly url: URL
  readonly #rpc: Rpc
  readonly #signal: AbortSignal | undefined
  readonly #onWait: Retry["onWait"]
  /** What an operator may ask; others are refused. */
  readonly operator: Operator
  #patient = false

  constructor(options: HubOptions) {
    this.url = typeof options.url === "string" ? hubUrl(options.url, "url") : options.url
    this.#signal = options.signal
    this.#onWait = options.onWait
    this.#rpc = new Rpc({
      url: this.url,
      token: options.token ?? null,
      ca: readCa(options.caFile ?? null),
      caFile: options.caFile ?? null,
    })
    this.operator = new Operator(this.#rpc, () => this.#call())
  }

  whoAmI(): Promise<WhoAmIResponse> {
    return this.#rpc.unary(ScientistService.method.whoAmI, {}, this.#call())
  }

  /** Answered when it is on the hub's disk. Asked again after a lost answer, with the same key: never submitted twice. */
  async submit(submission: Submission): Promise<SubmitResponse> {
    const { spec, parameters = [] } = submission
    const notices = [...(submission.notices ?? [])]
    const idempotencyKey = submission.idempotencyKey ?? uuidv7()
    const retry = patient(this.#onWait)
    const batches = inBatches(parameters)
    const first = batches.next().value ?? []
    if (first.length === parameters.length) {
      const request = { idempotencyKey, spec, parameters: first, notices }
      return this.#rpc.unary(ScientistService.method.submit, request, { ...this.#call(), retry })
    }
    const answer = await repeat(retry, this.#signal, () =>
      this.#rpc.clientStream(
        ScientistService.method.submitStream,
        streamOf({ idempotencyKey, spec, notices }, parameters),
        {
          signal: this.#signal,
        },
      ),
    )
    return { ...answer, $typeName: "cah.v1.SubmitResponse" }
  }

  /** What submit would answer and do, without doing it. The blobs that it names need not be there. */
  plan(spec: Submission["spec"], jobs: number): Promise<PlanResponse> {
    return this.#rpc.unary(ScientistService.method.plan, { spec, jobs }, this.#call())
  }

  /** Newest first. */
  async *list(options: { live?: boolean; everybody?: boolean; max?: number } = {}): AsyncGenerator<Campaign> {
    const { live = false, everybody = false } = options
    let left = options.max ?? Number.POSITIVE_INFINITY
    for (let before = 0n; left > 0; ) {
      const limit = Math.min(left, PAGE_MAX)
      const { campaigns } = await this.#rpc.unary(
        ScientistService.method.listCampaigns,
        { limit, before, live, everybody },
        this.#call(),
      )
      yield* campaigns.slice(0, limit)
      left -= campaigns.length
      const last = campaigns.at(-1)
      if (last === undefined || campaigns.length < limit) return
      if (before !== 0n && last.id >= before) throw new ClientError("internal", "The hub lists campaigns out of order.")
      before = last.id
    }
  }

  /** A campaign and its first distinct errors. */
  show(campaign: bigint): Promise<GetCampaignResponse> {
    return this.#rpc.unary(ScientistService.method.getCampaign, { campaign }, this.#call())
  }

  /** One job with its story. */
  async job(id: JobName): Promise<Job> {
    const { job } = await this.#rpc.unary(ScientistService.method.getJob, { id }, this.#call())
    if (job === undefined) throw new ClientError("not_found", `There is no job ${id.campaign}.${id.index}.`)
    return job
  }

  /** Why a job is where it is; without an index, the campaign's next job that waits. */
  explain(campaign: bigint, index: number | null): Promise<ExplainResponse> {
    const request = { campaign, ...(index === null ? {} : { index }) }
    return this.#rpc.unary(ScientistService.method.explain, request, this.#call())
  }

  /** Jobs of a campaign by index, in pages. */
  async *jobs(
    campaign: bigint,
    options: { ranges?: readonly Range[] | null; phase?: Phase; outcome?: Outcome; parameters?: boolean } = {},
  ): AsyncGenerator<Job> {
    const { parameters = false } = options
    for (const range of options.ranges ?? [{ first: 0, last: 2 ** 32 - 1 }]) {
      for (let fromIndex = range.first; fromIndex <= range.last; ) {
        const limit = Math.min(parameters ? PARAMETER_ROWS_MAX : PAGE_MAX, range.last - fromIndex + 1)
        const { jobs } = await this.#rpc.unary(
          ScientistService.method.listJobs,
          { campaign, limit, fromIndex, phase: options.phase ?? 0, outcome: options.outcome ?? 0, parameters },
          this.#call(),
        )
        for (const job of jobs) if ((job.id?.index ?? 0) <= range.last) yield job
        const last = jobs.at(-1)?.id?.index
        if (last === undefined || jobs.length < limit) break
        if (last < fromIndex) throw new ClientError("internal", "The hub lists jobs out of order.")
        fromIndex = last + 1
      }
    }
  }

  /**
   * The campaign as it is and as it changes, until it has ended. Outlives the hub: a cut watch is opened again, for ever.
   * With `jobs`, each job that ends; those that ended while the watch was cut are not told (see `onWait`, and `jobs`).
   */
  async *watch(
    campaign: bigint,
    options: { jobs?: boolean; onWait?: Retry["onWait"]; signal?: AbortSignal } = {},
  ): AsyncGenerator<WatchCampaignResponse> {
    const signal = options.signal ?? this.#signal
    const onWait = options.onWait ?? this.#onWait
    for (let failures = 0; ; ) {
      let error: ClientError
      let ended = false
      let began = false
      try {
        const request = { campaign, jobs: options.jobs ?? false }
        for await (const message of this.#rpc.serverStream(ScientistService.method.watchCampaign, request, {
          signal,
        })) {
          failures = 0
          began = true
          ended ||= hasEnded(message.campaign)
          yield message
        }
        if (ended) return
        error = new ClientError("unavailable", `The hub at ${this.url.origin} closed the watch.`)
      } catch (thrown) {
        signal?.throwIfAborted()
        error = ClientError.from(thrown)
        // Exhausted after it began: more jobs ended than we could read in time. Watched anew, and listed by who needs them.
        if (!isTransient(error) && !(error.code === "resource_exhausted" && failures === 0 && began)) throw error
      }
      const ms = waitMs(watchBackoff, ++failures)
      onWait?.(error, ms)
      await pause(ms, signal)
    }
  }

  /** Until the campaign has ended; then the campaign and its errors. Throws "timeout" if that takes too long. */
  async wait(campaign: bigint, options: { timeoutMs?: number } = {}): Promise<GetCampaignResponse> {
    const limits = [this.#signal, options.timeoutMs === undefined ? undefined : AbortSignal.timeout(options.timeoutMs)]
    const signal = AbortSignal.any(limits.filter(limit => limit !== undefined))
    try {
      for await (const _ of this.watch(campaign, { signal }));
    } catch (thrown) {
      this.#signal?.throwIfAborted()
      if (!signal.aborted) throw thrown
      throw new ClientError("timeout", `Campaign ${campaign} has not ended after ${options.timeoutMs} ms.`)
    }
    return this.show(campaign)
  }

  /** Ends jobs that have not ended; all of them without ranges. */
  async cancel(campaign: bigint, ranges: readonly Range[] = []): Promise<{ cancelled: number }> {
    const options = { ...this.#call(), retry: patient(this.#onWait) }
    let cancelled = 0
    for (const some of inParts(ranges)) {
      const request = { campaign, ranges: some }
      cancelled += (await this.#rpc.unary(ScientistService.method.cancel, request, options)).cancelled
    }
    return { cancelled }
  }

  /** The campaign's own switch, or with ranges that of each job. Answered when it is on disk. What runs goes on. */
  async setHold(campaign: bigint, held: boolean, ranges: readonly Range[] = []): Promise<{ jobs: number }> {
    const options = { ...this.#call(), retry: patient(this.#onWait) }
    let jobs = 0
    for (const some of inParts(ranges)) {
      const request = { campaign, held, ranges: some }
      jobs += (await this.#rpc.unary(ScientistService.method.setHold, request, options)).jobs
    }
    return { jobs }
  }

  /**
   * Queues jobs again, in their own campaign, that ended otherwise than well; all of them without ranges. `seen`: the campaign's
   * resubmissions as you saw them (asked for here if not given): asked again after a lost answer, it is done once.
   */
  async retry(
    campaign: bigint,
    options: { ranges?: readonly Range[]; seen?: bigint } = {},
  ): Promise<RetryJobsResponse> {
    const seenResubmissions = options.seen ?? (await this.show(campaign)).campaign?.totals?.resubmissions ?? 0n
    const request = { campaign, ranges: [...(options.ranges ?? [])], seenResubmissions }
    const retry = patient(this.#onWait)
    return this.#rpc.unary(ScientistService.method.retryJobs, request, { ...this.#call(), retry })
  }

  /** Removes a campaign that has ended, with all that it gave back. For good. */
  async forget(campaign: bigint): Promise<void> {
    await this.#rpc.unary(ScientistService.method.forget, { campaign }, this.#call())
  }

  async *nodes(): AsyncGenerator<Node> {
    for (let after = ""; ; ) {
      const request = { limit: PAGE_MAX, after }
      const { nodes } = await this.#rpc.unary(ScientistService.method.listNodes, request, this.#call())
      yield* nodes
      const last = nodes.at(-1)?.id
      if (last === undefined || nodes.length < PAGE_MAX) return
      if (last <= after) throw new ClientError("internal", "The hub lists nodes out of order.")
      after = last
    }
  }

  /** Whether the hub has the blob, whole, from this owner. */
  async has(blob: Pick<Blob, "digest" | "sizeBytes">): Promise<boolean> {
    return (await this.#rpc.unary(ScientistService.method.getUpload, { blob }, this.#call())).stored
  }

  /** The caller's blobs that a stagein may name, the last used first. */
  async *blobs(): AsyncGenerator<OwnedBlob> {
    let before: OwnedBlob["usedAt"]
    for (;;) {
      const request = { limit: PAGE_MAX, ...(before === undefined ? {} : { before }) }
      const { blobs } = await this.#rpc.unary(ScientistService.method.listBlobs, request, this.#call())
      yield* blobs
      const last = blobs.at(-1)?.usedAt
      if (last === undefined || blobs.length < PAGE_MAX) return
      if (before !== undefined && timestampMs(last) > timestampMs(before)) {
        throw new ClientError("internal", "The hub lists blobs out of order.")
      }
      before = last
    }
  }

  /** The caller needs it no more. It goes when nothing else names it. */
  async removeBlob(digest: string): Promise<void> {
    await this.#rpc.unary(ScientistService.method.removeBlob, { digest }, this.#call())
  }

  /** Packs a directory or file and makes sure that the hub has it: `spec.stagein` of a submission. */
  async upload(
    path: string,
    options: TransferOptions & Pick<StageinOptions, "dereference"> = {},
  ): Promise<{ blob: Pick<Blob, "digest" | "sizeBytes">; sentBytes: number }> {
    const { dereference = false, signal = this.#signal } = options
    const packed = await packStagein(path, { dereference, signal })
    try {
      const blob = { digest: packed.digest, sizeBytes: BigInt(packed.sizeBytes) }
      return { blob, sentBytes: await uploadFile(this.#rpc, blob, packed.file, this.#transfer(options)) }
    } finally {
      await packed.dispose()
    }
  }

  /** One output of a job into a file, going on where the file ends. Returns its size; its digest was checked. */
  download(wanted: Wanted, file: string, options: TransferOptions = {}): Promise<number> {
    return downloadFile(this.#rpc, wanted, file, this.#transfer(options))
  }

  /** An ended job's stdout or stderr, in pieces as they come; or that of an attempt that was tried again. */
  async *log(id: JobName, output: Output = Output.STDOUT, attempt = 0): AsyncGenerator<Uint8Array> {
    let offset = 0n
    for (let failures = 0; ; ) {
      try {
        const request = { job: id, output, offset, attempt }
        for await (const { data } of this.#rpc.serverStream(ScientistService.method.download, request, this.#call())) {
          failures = 0
          offset += BigInt(data.length)
          if (data.length > 0) yield data
        }
        return
      } catch (thrown) {
        this.#signal?.throwIfAborted()
        const error = ClientError.from(thrown)
        const { tries, backoff } = patient()
        if (!isTransient(error) || ++failures >= tries) throw error
        const ms = waitMs(backoff, failures)
        this.#onWait?.(error, ms)
        await pause(ms, this.#signal)
      }
    }
  }

  /**
   * A job's output as it is written, from when it starts until its attempt ends; that of an ended job at once. Waits for ever for the
   * start, and goes on where it was after a cut of the hub or of the node. `onNews` is told of what is not as if there had been none.
   */
  async *follow(
    id: JobName,
    output: Output = Output.STDOUT,
    onNews?: (news: FollowNews) => void,
  ): AsyncGenerator<Uint8Array> {
    let [attempt, offset] = [0, 0n]
    for (let failures = 0, began = false; ; ) {
      try {
        const request = { job: id, output, attempt, offset }
        for await (const piece of this.#rpc.serverStream(ScientistService.method.followLog, request, this.#call())) {
          failures = 0
          if (piece.attempt !== 0) {
            if (attempt !== 0 && piece.attempt !== attempt) onNews?.({ kind: "attempt", attempt: piece.attempt })
            else if (piece.offset !== offset) onNews?.({ kind: "gap", bytes: Number(piece.offset - offset) })
            attempt = piece.attempt
            offset = piece.offset + BigInt(piece.data.length)
          }
          if (piece.data.length === 0) continue
          began = true
          yield piece.data
        }
        return
      } catch (thrown) {
        this.#signal?.throwIfAborted()
        const error = ClientError.from(thrown)
        // A hub that does not say where its bytes stand cannot be asked to go on.
        if (!isTransient(error) || (began && attempt === 0)) throw error
        const ms = waitMs(watchBackoff, ++failures)
        this.#onWait?.(error, ms)
        await pause(ms, this.#signal)
      }
    }
  }

  /** From now on reads outlast a restart of the hub too. For long work whose first call has shown that the hub is there. */
  bePatient(): void {
    this.#patient = true
  }

  close(): void {
    this.#rpc.close()
  }

  #call(): CallOptions {
    return this.#patient ? { signal: this.#signal, retry: patient(this.#onWait) } : { signal: this.#signal }
  }

  #transfer(options: TransferOptions): TransferOptions {
    return { signal: this.#signal, onWait: this.#onWait, ...options }
  }
}

/** As many ranges as one call may name; one empty part where there are none, which means all. */
function* inParts(ranges: readonly Range[]): Generator<Range[]> {
  for (let from = 0; from === 0 || from < ranges.length; from += RANGES_MAX) {
    yield ranges.slice(from, from + RANGES_MAX)
  }
}

function* streamOf(first: MessageInitShape<typeof SubmitStreamRequestSchema>, lines: readonly string[]) {
  yield first
  for (const parameters of inBatches(lines)) yield { parameters }
}

/** Parameters in messages that fit, made one at a time: a list may be larger than what should be in memory twice. */
function* inBatches(lines: readonly string[]): Generator<{ line: string }[], undefined, undefined> {
  let batch: { line: string }[] = []
  let room = PARAMETER_MESSAGE_BYTES
  for (const line of lines) {
    // A tag and a length for the line and for the message around it: eight bytes at most.
    const bytes = Buffer.byteLength(line) + 8
    if (bytes > room && batch.length > 0) {
      yield batch
      batch = []
      room = PARAMETER_MESSAGE_BYTES
    }
    batch.push({ line })
    room -= bytes
  }
  if (batch.length > 0) yield batch
  return undefined
}

function readCa(file: string | null): Buffer | null {
  if (file === null) return null
  let pem: Buffer
  try {
    pem = readFileSync(file)
  } catch (thrown) {
    throw usage(`The CA file ${file} cannot be read: ${thrown instanceof Error ? thrown.message : String(thrown)}`)
  }
  if (!pem.includes("-----BEGIN CERTIFICATE-----")) {
    throw usage(
      `The CA file ${file} holds no certificate in PEM form.`,
      "Ask the operator for the file that begins with -----BEGIN CERTIFICATE-----.",
    )
  }
  return pem
}
