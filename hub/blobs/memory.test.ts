import { blobsSuite } from "./blobs.suite.ts"
import { MemoryBlobStore, MemoryDisk } from "./memory.ts"

blobsSuite("MemoryBlobStore", async () => {
  const disk = new MemoryDisk()
  let wall = 1_700_000_000_000
  const open = () => new MemoryBlobStore({ disk, wallMs: () => wall })
  return {
    blobs: open(),
    restart: async () => open(),
    async flip(digest, atByte) {
      const file = disk.blobs.get(digest)!
      file.bytes = file.bytes.map((byte, at) => (at === atByte ? byte ^ 1 : byte))
    },
    age(ms) {
      wall += ms
    },
    dispose: async () => {},
  }
})
