// What is in an image, for whoever has to make it smaller: its files by size with the package that brought each, its packages by what they
// take, and the sum that volunteers download. Pure: text out.
import type { ImageManifest } from "../proto/guest/manifest.ts"
import { LARGEST_FILES } from "./limits.ts"
import type { TreeFile } from "./tree.ts"

export function describeFiles(files: readonly TreeFile[]): string {
  const largest = [...files].sort((one, other) => other.sizeBytes - one.sizeBytes).slice(0, LARGEST_FILES)
  const byPackage = new Map<string, number>()
  for (const { package: name, sizeBytes } of files) byPackage.set(name, (byPackage.get(name) ?? 0) + sizeBytes)
  const packages = [...byPackage].sort(([, one], [, other]) => other - one).slice(0, LARGEST_FILES)
  return [
    `The largest of ${files.length} files, ${grouped(sumOf(files))} bytes before compression:`,
    ...largest.map(file => `${grouped(file.sizeBytes).padStart(13)}  ${file.path}${by(file.package)}`),
    "",
    "The largest packages:",
    ...packages.map(([name, size]) => `${grouped(size).padStart(13)}  ${name === "" ? "(no package)" : name}`),
  ].join("\n")
}

export function describeImage({ name, version, files, packages }: ImageManifest): string {
  const sizes = Object.entries(files).map(([file, { sizeBytes }]) => `${grouped(sizeBytes).padStart(13)}  ${file}`)
  return [
    `${name} ${version}, ${packages.length} packages`,
    ...sizes,
    `${grouped(downloadBytes(files)).padStart(13)}  to download: kernel + initrd + root`,
  ].join("\n")
}

export function downloadBytes({ kernel, initrd, root }: ImageManifest["files"]): number {
  return kernel.sizeBytes + initrd.sizeBytes + root.sizeBytes
}

function by(name: string): string {
  return name === "" ? "" : `  (${name})`
}

function sumOf(files: readonly TreeFile[]): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
}

/** 60,274,605: these are compared by people. */
export function grouped(bytes: number): string {
  return bytes.toLocaleString("en-US")
}
