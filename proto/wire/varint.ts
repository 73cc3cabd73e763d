// Varints as protobuf writes them, for frames that are coded by hand.

export function varintLength(value: number): number {
  let length = 1
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length++
  return length
}

/** Returns where the next byte goes. */
export function putVarint(bytes: Uint8Array, at: number, value: number): number {
  let rest = value
  let position = at
  while (rest >= 128) {
    bytes[position++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  bytes[position++] = rest
  return position
}
