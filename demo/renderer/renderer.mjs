// A small ray tracer for machines without POV-Ray: the scene of scene/scene.pov in plain words, so that the demo has the same
// shape of work everywhere. It is sent to nodes as stagein and runs there alone, so it is plain JavaScript and imports
// nothing of ours: node renderer.mjs FRAME FRAMES WIDTHxHEIGHT OUT.png
import { writeFileSync } from "node:fs"
import { argv, exit, stderr } from "node:process"
import { crc32, deflateSync } from "node:zlib"

const [frame, frames] = [Number(argv[2]), Number(argv[3])]
const [width, height] = (argv[4] ?? "").split("x").map(Number)
const out = argv[5]
if (!(frame >= 0 && frames > frame && width > 0 && height > 0 && out)) {
  stderr.write("usage: node renderer.mjs FRAME FRAMES WIDTHxHEIGHT OUT.png, with 0 <= FRAME < FRAMES\n")
  exit(2)
}

const BOUNCES = 4
const add = (a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
const sub = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
const mul = (a, s) => [a[0] * s, a[1] * s, a[2] * s]
const tint = (a, b) => [a[0] * b[0], a[1] * b[1], a[2] * b[2]]
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
const mix = (a, b, t) => add(mul(a, 1 - t), mul(b, t))
const norm = a => mul(a, 1 / Math.hypot(a[0], a[1], a[2]))
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
const mirrored = (d, n) => sub(d, mul(n, 2 * dot(d, n)))

// ---- the scene ----
const moon = norm([-0.42, 0.36, 0.85])
const moonlight = [0.5, 0.6, 0.9]
const hills = [
  [-3.6, 1.6, 2.9, 0.85],
  [2.8, 2.9, 3.4, 1.15],
  [3.9, -2, 2.3, 0.6],
  [-1.2, -3.9, 2, 0.45],
  [-0.4, 5.4, 2.6, 0.7],
]
const ground = (x, z) =>
  hills.reduce(
    (y, [hx, hz, r, h]) => Math.max(y, h * Math.sqrt(Math.max(0, 1 - ((x - hx) ** 2 + (z - hz) ** 2) / r ** 2))),
    0,
  )
const matt = (colour, own = [0, 0, 0]) => ({ colour, own, mirror: 0 })
const shapes = hills.map(([x, z, r, h]) => ({
  kind: "ball",
  at: [x, 0, z],
  radius: [r, h, r],
  look: matt([0.09, 0.17, 0.09]),
}))
const puffs = [
  [-1.15, 0, 0.05, 0.62],
  [-0.45, 0.3, 0, 0.86],
  [0.48, 0.18, 0.1, 0.74],
  [1.18, -0.05, -0.02, 0.55],
  [0.1, -0.12, -0.42, 0.6],
  [-0.1, -0.12, 0.48, 0.58],
]
for (const [x, y, z, big, colour] of [
  [0, 4.05, 0, 1.45, [0.72, 0.86, 1]],
  [-4.6, 3.75, 1.8, 0.92, [0.86, 0.88, 0.94]],
  [4.4, 4.35, 2.4, 0.98, [0.96, 0.72, 0.42]],
  [2.6, 3.35, -3.9, 0.72, [0.92, 0.6, 0.52]],
  [-3.2, 4.85, -3.3, 0.66, [0.7, 0.8, 0.95]],
]) {
  for (const [px, py, pz, r] of puffs) {
    const at = [x + px * big, y + py * big, z + pz * big]
    shapes.push({
      kind: "ball",
      at,
      radius: [r * big, r * big, r * big],
      look: { colour, own: [0, 0, 0], mirror: 0.8 },
    })
  }
}
for (const [x, z, big] of [
  [-4.3, 0.6, 0.85],
  [-2.4, 1.3, 0.7],
  [2, 1.8, 0.95],
  [3.7, 2.6, 0.85],
  [4.4, -2.3, 0.8],
  [-1.3, -4, 0.72],
  [-0.6, 5.5, 0.8],
]) {
  const y = ground(x, z)
  const box = (from, to, look) =>
    shapes.push({ kind: "box", from: add([x, y, z], mul(from, big)), to: add([x, y, z], mul(to, big)), look })
  box([-0.6, -0.2, -0.42], [0.6, 0.98, 0.42], matt([0.55, 0.48, 0.42], [0.02, 0.02, 0.03]))
  box([-0.7, 0.98, -0.52], [0.7, 1.12, 0.52], matt([0.3, 0.1, 0.07]))
  box([-0.45, 1.12, -0.3], [0.45, 1.3, 0.3], matt([0.3, 0.1, 0.07]))
  const lit = matt([0, 0, 0], [1.3, 0.85, 0.35])
  for (const wx of [-0.36, 0.36]) box([wx - 0.1, 0.42, -0.44], [wx + 0.1, 0.68, 0.44], lit)
  box([-0.62, 0.42, -0.1], [0.62, 0.68, 0.1], lit)
}

/** Nearest hit along a ray, with the outward normal; null for none. */
function hit(from, way, far) {
  let best = far
  let found = null
  for (const shape of shapes) {
    if (shape.kind === "ball") {
      const o = [0, 1, 2].map(i => (from[i] - shape.at[i]) / shape.radius[i])
      const d = [0, 1, 2].map(i => way[i] / shape.radius[i])
      const [a, b] = [dot(d, d), dot(o, d)]
      const root = b * b - a * (dot(o, o) - 1)
      if (root <= 0) continue
      const t = (-b - Math.sqrt(root)) / a
      if (t > 1e-4 && t < best) {
        best = t
        found = { shape, normal: norm([0, 1, 2].map(i => (o[i] + d[i] * t) / shape.radius[i])) }
      }
    } else {
      let [near, exit, axis] = [-Infinity, Infinity, 0]
      for (let i = 0; i < 3; i++) {
        const [t1, t2] = [(shape.from[i] - from[i]) / way[i], (shape.to[i] - from[i]) / way[i]]
        if (Math.min(t1, t2) > near) [near, axis] = [Math.min(t1, t2), i]
        exit = Math.min(exit, Math.max(t1, t2))
      }
      if (near < exit && near > 1e-4 && near < best) {
        best = near
        found = { shape, normal: [0, 1, 2].map(i => (i === axis ? -Math.sign(way[i]) : 0)) }
      }
    }
  }
  return found && { ...found, t: best }
}

function sky(way) {
  const up = Math.max(0, way[1])
  if (dot(way, moon) > 0.9993) return [1, 0.97, 0.86]
  // Stars: one in a few hundred cells of the sky shines, chosen by a hash of the cell and always the same one.
  const cell = way.map(one => Math.floor(one * 170))
  const chance = Math.abs(Math.sin(cell[0] * 12.9898 + cell[1] * 78.233 + cell[2] * 37.719) * 43758.5453) % 1
  const star = chance > 0.9985 ? 0.7 : 0
  const glow = mix([0.38, 0.14, 0.07], [0.05, 0.04, 0.14], Math.min(1, up / 0.15))
  return add(mix(glow, [0.006, 0.008, 0.03], Math.min(1, up / 0.6)), [star, star, star])
}

function colourOf(from, way, left) {
  const water = way[1] < 0 ? -from[1] / way[1] : Infinity
  const met = hit(from, way, water)
  if (met === null && water === Infinity) return sky(way)
  const at = add(from, mul(way, met ? met.t : water))
  const { colour, own, mirror } = met ? met.shape.look : { colour: [0.01, 0.02, 0.05], own: [0, 0, 0], mirror: 0.9 }
  let normal = met ? met.normal : [0, 1, 0]
  if (!met) {
    const calm = 0.03 / (1 + (at[0] ** 2 + at[2] ** 2) / 300)
    normal = norm([calm * Math.sin(at[0] * 5 + at[2] * 3), 1, calm * Math.sin(at[2] * 7 - at[0] * 2)])
  }
  const shade = hit(add(at, mul(normal, 1e-3)), moon, Infinity) ? 0 : Math.max(0, dot(normal, moon))
  let seen = add(own, tint(colour, add([0.06, 0.065, 0.12], mul(moonlight, shade * (1 - mirror * 0.7)))))
  if (mirror > 0 && left > 0) {
    const grazing = (1 - Math.abs(dot(way, normal))) ** 4
    const part = met ? mirror : 0.12 + 0.8 * grazing
    seen = add(
      seen,
      mul(tint(met ? colour : [1, 1, 1], colourOf(add(at, mul(normal, 1e-3)), mirrored(way, normal), left - 1)), part),
    )
  }
  return seen
}

// ---- the camera: twice round, rising slightly ----
const clock = frame / frames
const rise = clock * clock * (3 - 2 * clock)
const [angle, away] = [4 * Math.PI * clock, -15.5 + 1.2 * rise]
const eye = [away * Math.sin(angle), 2.3 + 2.3 * rise, away * Math.cos(angle)]
const ahead = norm(sub([0, 2.35 - 0.3 * rise, 0], eye))
const right = norm(cross([0, 1, 0], ahead))
const above = cross(ahead, right)
const zoom = 0.5 / Math.tan((29 * Math.PI) / 180)

const rows = Buffer.alloc(height * (1 + 3 * width))
for (let y = 0; y < height; y++) {
  for (let x = 0; x < width; x++) {
    const [u, v] = [(x + 0.5) / width - 0.5, (height / 2 - y - 0.5) / width]
    const seen = colourOf(eye, norm(add(add(mul(ahead, zoom), mul(right, u)), mul(above, v))), BOUNCES)
    for (let i = 0; i < 3; i++)
      rows[y * (1 + 3 * width) + 1 + 3 * x + i] = Math.round(255 * Math.min(1, seen[i]) ** (1 / 2.2))
  }
}

// ---- PNG: three chunks, eight bits, no filter ----
function chunk(kind, body) {
  const bytes = Buffer.concat([Buffer.alloc(4), Buffer.from(kind, "latin1"), body, Buffer.alloc(4)])
  bytes.writeUInt32BE(body.length, 0)
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + body.length)), 8 + body.length)
  return bytes
}
const head = Buffer.alloc(13)
head.writeUInt32BE(width, 0)
head.writeUInt32BE(height, 4)
head.set([8, 2, 0, 0, 0], 8)
const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
writeFileSync(
  out,
  Buffer.concat([signature, chunk("IHDR", head), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]),
)
