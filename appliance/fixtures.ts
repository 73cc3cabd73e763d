// For tests of the builder alone: a directory that goes, and a tar from what is in it.
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after } from "node:test"
import tar, { type Header } from "tar-stream"

/** A fresh directory that goes when the test file is done. */
export function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "cah-appliance-test-"))
  after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

export type Entry = Partial<Header> & { readonly name: string; readonly text?: string }

/** As mmdebstrap writes it: names begin with "./". */
export async function tarOf(entries: readonly Entry[]): Promise<Buffer> {
  const pack = tar.pack()
  for (const { text, ...header } of entries) {
    if (text === undefined) pack.entry(header)
    else pack.entry({ ...header, type: "file" }, text)
  }
  pack.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of pack) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** What is in a tar: headers, and the texts of files. */
export async function entriesOf(bytes: Buffer): Promise<(Header & { readonly text: string })[]> {
  const extract = tar.extract()
  extract.end(bytes)
  const found: (Header & { readonly text: string })[] = []
  for await (const entry of extract) {
    const chunks: Buffer[] = []
    for await (const chunk of entry) chunks.push(chunk as Buffer)
    found.push({ ...entry.header, text: Buffer.concat(chunks).toString() })
  }
  return found
}
