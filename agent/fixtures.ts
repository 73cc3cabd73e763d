// Small builders for the tests of the agent's edges. Nothing else imports this.
import { createHash } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after } from "node:test"
import { digestOf } from "../proto/wire/digest.ts"
import type { AttemptName, BlobRef, RunSpec } from "./core/model.ts"
import type { Log } from "./core/ports.ts"

export const name: AttemptName = { campaign: 12, index: 7, attempt: 2 }

export function spec(change: Partial<RunSpec> = {}): RunSpec {
  return {
    owner: "ada",
    campaignName: "wing",
    project: "lift",
    command: ["true"],
    env: {},
    stagein: null,
    gather: false,
    inside: false,
    stageout: [],
    requireStageout: false,
    walltimeMs: 3_725_000,
    graceMs: 5_000,
    property: "",
    needs: { slots: 2, memoryBytes: 0, diskBytes: 0 },
    line: null,
    arraySize: 100,
    ...change,
  }
}

export function blobOf(bytes: Uint8Array): BlobRef {
  return { digest: digestOf(createHash("sha256").update(bytes).digest()), sizeBytes: bytes.length }
}

/** A fresh directory that goes when the test file is done. */
export function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "cah-agent-"))
  after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

export interface RecordedLog extends Log {
  readonly lines: { readonly level: string; readonly fields: Record<string, unknown>; readonly message: string }[]
}

export function recordedLog(): RecordedLog {
  const lines: RecordedLog["lines"] = []
  const at = (level: string) => (fields: Record<string, unknown>, message: string) => {
    lines.push({ level, fields, message })
  }
  return { lines, debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") }
}

export async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of bytes) chunks.push(chunk)
  return Buffer.concat(chunks)
}
