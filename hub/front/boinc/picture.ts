// The picture of the page at the hub's address: a cloud over houses with lit windows. Drawn here, so that nothing is fetched; colours that
// do by day and by night.
import { Html } from "../html.ts"

function house(x: number, width: number, height: number, lit: readonly number[]): string {
  const [top, right] = [200 - height, x + width]
  const windows = lit.map(at => {
    const [column, row] = [at % 2, Math.floor(at / 2)]
    return `<rect x="${x + width * (0.2 + 0.36 * column)}" y="${top + 12 + row * 24}" width="${width * 0.22}" height="15" fill="#ffd76a"/>`
  })
  const roof = `<path d="M${x - 6} ${top}L${x + width / 2} ${top - 28}L${right + 6} ${top}z" fill="#8a4b3c"/>`
  return `${roof}<rect x="${x}" y="${top}" width="${width}" height="${height}" fill="#3d4d66"/>${windows.join("")}`
}

/** From each roof's top to the cloud. */
const roofs = [
  [60, 110],
  [212, 94],
  [353, 114],
  [506, 88],
] as const
const lines = roofs.map(
  ([x, y]) =>
    `<path d="M${x} ${y}Q${(x + 294) / 2} ${y - 20} 294 76" fill="none" stroke="#7fa8d9" stroke-width="2" stroke-dasharray="5 6"/>`,
)

export const clouds =
  new Html(`<svg class="picture" viewBox="0 0 600 200" role="img" aria-label="A cloud over houses with lit windows, each joined to it by a line">
<rect width="600" height="200" rx="14" fill="#1d2b45"/>
<circle cx="530" cy="38" r="16" fill="#f3ecd2"/>
${lines.join("")}
<g fill="#dfe9f7"><circle cx="250" cy="58" r="28"/><circle cx="290" cy="42" r="36"/><circle cx="334" cy="56" r="30"/><rect x="226" y="54" width="136" height="32" rx="16"/></g>
${house(24, 72, 62, [0, 1, 2])}${house(170, 84, 78, [1, 2, 3])}${house(318, 70, 58, [0, 3])}${house(462, 88, 84, [0, 1, 3])}
</svg>`)
