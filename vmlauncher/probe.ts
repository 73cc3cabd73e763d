// `vmlauncher probe`: what this computer can do and what stands in the way, one line for each thing looked at. Starts nothing that stays.
import { availableParallelism, totalmem } from "node:os"
import { join } from "node:path"
import { freeBytes } from "../common/disk.ts"
import type { RunConfig } from "./config.ts"
import { Failure } from "./core/ports.ts"
import { sizeInWords } from "./core/text.ts"
import { findQemu, openQemu } from "./hypervisor/qemu/qemu.ts"
import { findVirtualBox, whyRefused } from "./hypervisor/virtualbox/virtualbox.ts"
import { type Image, openImage } from "./image/image.ts"
import { Memory } from "./place.ts"
import { addressOfHub, dialHub } from "./relay/dial.ts"
import { insideKey } from "./release.ts"

interface Finding {
  readonly what: string
  /** null: not looked at, since it was not asked for. */
  readonly isWell: boolean | null
  readonly text: string
}

/** Returns 0 if a machine could be run here, else 1. */
export async function probe(config: RunConfig): Promise<number> {
  const image = await lookAtImage(config)
  const qemu = await lookAtQemu(image.image)
  const findings = [computer(config), image.finding, qemu, await lookAtVirtualBox(config), await lookAtHub(config)]
  for (const { what, isWell, text } of findings) {
    const mark = isWell === null ? "-" : isWell ? "ok" : "no"
    process.stdout.write(`${mark.padEnd(3)} ${what.padEnd(11)} ${text}\n`)
  }
  const canRun = qemu.isWell === true && image.finding.isWell !== false
  process.stdout.write(canRun ? "a virtual machine can be run here\n" : "no virtual machine can be run here yet\n")
  return canRun ? 0 : 1
}

function computer({ state }: RunConfig): Finding {
  const text = `${availableParallelism()} processors, ${sizeInWords(totalmem())} of memory, ${sizeInWords(freeBytes(state))} of disk free`
  return { what: "computer", isWell: true, text }
}

async function lookAtImage({
  appliance,
  releaseKeyPem,
}: RunConfig): Promise<{ image: Image | null; finding: Finding }> {
  const what = "image"
  if (appliance === null)
    return { image: null, finding: { what, isWell: null, text: "none named; --appliance DIR checks one" } }
  const key = releaseKeyPem ?? insideKey()
  if (key === null) {
    return { image: null, finding: { what, isWell: false, text: "no key to check it with; say --release-key FILE" } }
  }
  try {
    const image = await openImage(name => join(appliance, name), key)
    const { name, version, minMemoryMb } = image.manifest
    return {
      image,
      finding: { what, isWell: true, text: `${name} ${version}, whole and signed; needs ${minMemoryMb} MiB` },
    }
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return { image: null, finding: { what, isWell: false, text: error.message } }
  }
}

async function lookAtQemu(image: Image | null): Promise<Finding> {
  const what = "QEMU"
  const found = await findQemu()
  if (!("path" in found)) return { what, isWell: false, text: found.why }
  if (image === null || image.paths.kernel === null) {
    return {
      what,
      isWell: true,
      text: `${found.version}; whether KVM works is found out by booting an image (--appliance)`,
    }
  }
  const { kernel, initrd } = image.paths
  // Found out anew: somebody who asks may have mended it.
  const memory = new Memory("/dev/null/none")
  const { description, why } = await openQemu(found, { kernel, initrd, command: image.manifest.kernelCommand }, memory)
  return { what, isWell: true, text: `${description}: ${why}` }
}

async function lookAtVirtualBox({ allowsLan }: RunConfig): Promise<Finding> {
  const found = await findVirtualBox()
  if (!("path" in found)) return { what: "VirtualBox", isWell: null, text: found.why }
  return { what: "VirtualBox", isWell: allowsLan, text: `${found.version}${allowsLan ? "" : `: ${whyRefused}`}` }
}

async function lookAtHub({ hub }: RunConfig): Promise<Finding> {
  const what = "hub"
  if (hub === "") return { what, isWell: null, text: "none named; --hub URL tries one" }
  try {
    const socket = await dialHub(addressOfHub(hub), null, new AbortController().signal)
    socket.destroy()
    return { what, isWell: true, text: `${hub} answers` }
  } catch (error) {
    return { what, isWell: false, text: (error as Error).message }
  }
}
