// A guest of some hundred bytes, for tests: no kernel, no disk, no waiting. It speaks on the first serial port, prints a dot now and then, keeps
// a count in its memory (so that a restore can be told from a boot), and switches itself off when its power button is pressed. QEMU
// starts it like a kernel (multiboot, with addresses in its header). Assembled here by hand; never shipped.

const LOAD = 0x10_0000
const MAGIC = 0x1bad_b002
/** The header says itself where it is to be loaded. */
const WITH_ADDRESSES = 0x1_0000
const HEADER_BYTES = 32
/** Between dots: some 50 ms under emulation. */
const SPIN = 20_000_000

const u16 = (n: number): number[] => [n & 255, n >> 8]
const u32 = (n: number): number[] => [n & 255, (n >>> 8) & 255, (n >>> 16) & 255, n >>> 24]
const outByte = (port: number): number[] => [0x66, 0xba, ...u16(port), 0xee] // mov dx,port; out dx,al
const outWord = (port: number, value: number): number[] => [
  0x66,
  0xba,
  ...u16(port),
  0x66,
  0xb8,
  ...u16(value),
  0x66,
  0xef,
]

/** What it says once, and whether it goes on with dots afterwards. */
export function tinyGuest(says: string, goesOn = true): Buffer {
  const print = [
    [0xac], // next: lodsb
    [0x84, 0xc0, 0x74, 7], // test al,al; jz past
    outByte(0x3f8),
    [0xeb, 0x100 - 12], // jmp next
  ].flat()
  const halt = [0xf4, 0xeb, 0xfd] // hlt; jmp hlt
  const powerOff = [...outWord(0x604, 0x2000), ...halt] // PM1a control: sleep, type 0 = off
  const body = [
    [0x66, 0xba, ...u16(0x600), 0x66, 0xed], // in ax, PM1a status
    [0xf6, 0xc4, 0x01, 0x75, 0], // test ah, power button; jnz off (patched)
    [0xb9, ...u32(SPIN), 0x49, 0x75, 0xfd], // mov ecx,SPIN; dec ecx; jnz
    [0x43, 0x88, 0xd8, 0x24, 0x0f, 0x04, 0x61], // inc ebx; mov al,bl; and al,15; add al,'a'
    outByte(0x3f8),
    [0xb0, 0x0a, ...outByte(0x3f8)], // newline
  ].flat()
  const loop = [...body, 0xeb, 0x100 - body.length - 2]
  loop[10] = loop.length - 11
  const enableButton = outWord(0x602, 0x0100)
  const rest = goesOn ? [...enableButton, ...loop, ...powerOff] : halt
  const entry = [0x31, 0xdb, 0xbe, ...u32(0)] // xor ebx,ebx; mov esi,text
  const text = LOAD + HEADER_BYTES + entry.length + print.length + rest.length
  const code = [0x31, 0xdb, 0xbe, ...u32(text), ...print, ...rest]
  const checksum = (0x1_0000_0000 - MAGIC - WITH_ADDRESSES) % 0x1_0000_0000
  const header = [MAGIC, WITH_ADDRESSES, checksum, LOAD, LOAD, 0, 0, LOAD + HEADER_BYTES].flatMap(u32)
  return Buffer.concat([Buffer.from(header), Buffer.from(code), Buffer.from(`${says}\0`)])
}
