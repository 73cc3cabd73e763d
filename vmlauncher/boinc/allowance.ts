// What the volunteer told the BOINC client, as limits of one virtual machine. The client has set aside a number of processors, an amount of memory
// and of disk for this task; the machine, its saved memory, the hypervisor and this program must fit in. Pure.
import type { Allowance } from "../core/ports.ts"
import {
  DISK_DEFAULT_BYTES,
  DISK_MIN_BYTES,
  MEMORY_PER_PROCESSOR_BYTES,
  MEMORY_SHARE,
  OVERHEAD_BYTES,
  PROCESSORS_MAX,
  SAVE_SPARE_BYTES,
} from "../limits.ts"
import type { InitData } from "./init.ts"

const MIB = 1024 ** 2

export function allowanceOf(init: InitData): Allowance {
  const byClient =
    init.hostMemoryBytes > 0 ? (init.hostMemoryBytes * init.memoryPercent) / 100 : Number.POSITIVE_INFINITY
  const byTask = init.memoryBoundBytes > 0 ? init.memoryBoundBytes : init.hostMemoryBytes * MEMORY_SHARE
  const forWork = init.processors * MEMORY_PER_PROCESSOR_BYTES
  const memoryBytes = wholeMib(Math.min(Math.min(byClient, byTask) - OVERHEAD_BYTES, forWork))
  const roomBytes = init.diskBoundBytes > 0 ? init.diskBoundBytes - memoryBytes - SAVE_SPARE_BYTES : DISK_DEFAULT_BYTES
  const rate = (bytesPerSecond: number): number | null => (bytesPerSecond > 0 ? bytesPerSecond : null)
  return {
    processors: Math.min(PROCESSORS_MAX, init.processors),
    memoryBytes,
    diskBytes: Math.max(DISK_MIN_BYTES, wholeMib(roomBytes)),
    processorPercent: Math.max(1, init.processorPercent),
    upBytesPerSecond: rate(init.upBytesPerSecond),
    downBytesPerSecond: rate(init.downBytesPerSecond),
    budget:
      init.budgetMegabytes > 0 && init.budgetDays >= 1
        ? { bytes: init.budgetMegabytes * MIB, days: Math.floor(init.budgetDays) }
        : null,
  }
}

function wholeMib(bytes: number): number {
  return Math.max(0, Math.floor(bytes / MIB) * MIB)
}
