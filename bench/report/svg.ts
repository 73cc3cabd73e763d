// Plots as text: echarts draws them to SVG without a browser. The same plot gives the same bytes, in whatever order and company it is
// drawn, so that a plot in git changes only with its figures.
import { type EChartsOption, init } from "echarts"

const WIDTH = 760
const HEIGHT = 420

const FONT = "system-ui, sans-serif"

export function svgOf(heading: string, option: EChartsOption): string {
  const chart = init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height: HEIGHT })
  try {
    // A background of its own: pages are read on light and on dark.
    chart.setOption({
      animation: false,
      backgroundColor: "#ffffff",
      textStyle: { fontFamily: FONT },
      title: { text: heading, left: "center", top: 10, textStyle: { color: "#222222", fontSize: 15 } },
      ...option,
    })
    return withoutNumbers(chart.renderToSVGString())
  } finally {
    chart.dispose()
  }
}

/**
 * What echarts counts across all plots of a process: classes, which serve a mouse that a picture has none of, and the names of clips and
 * gradients, which only have to differ within one plot.
 */
function withoutNumbers(svg: string): string {
  const names = new Map<string, string>()
  const text = svg
    .replaceAll(/ class="zr\d+-[^"]*"/g, "")
    .replaceAll(/<style[^>]*>[\s\S]*?<\/style>\n?/g, "")
    .replaceAll(/zr\d+-\w+/g, name => {
      const known = names.get(name) ?? `part-${names.size}`
      names.set(name, known)
      return known
    })
  return `${text.trimEnd()}\n`
}
