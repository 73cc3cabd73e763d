// What happened to a job, value after value in one array: as JSON it goes to disk like that, and it is one object where lines of
// their own would be several each, of which a job has three before anybody reads them (npm run bench -- --only noop).
import { STORY_MAX } from "../limits.ts"
import type { Phase, Story, StoryLine } from "./model.ts"
import { type Why, whyNumber, whyOf } from "./why.ts"

const WIDTH = 6

/** The oldest line goes when there are more than STORY_MAX. */
export function tell(
  story: Story,
  at: number,
  why: Why,
  event: string,
  phase: Phase,
  { attempt, node }: Pick<StoryLine, "attempt" | "node">,
): void {
  if (story.length === STORY_MAX * WIDTH) story.splice(0, WIDTH)
  story.push(at, whyNumber(why), event === phase ? "" : event, phase, attempt, node)
}

/** Wall time, ms, of the last line; null: there is none. */
export function lastTold(story: Story): number | null {
  return story.length === 0 ? null : (story[story.length - WIDTH] as number)
}

export function storyOf(lines: readonly StoryLine[]): Story {
  const story: Story = []
  for (const line of lines) tell(story, line.at, line.why, line.event, line.phase, line)
  return story
}

export function linesOf(story: Story): StoryLine[] {
  const lines: StoryLine[] = []
  for (let first = 0; first < story.length; first += WIDTH) {
    const [at, why, event, phase, attempt, node] = story.slice(first, first + WIDTH)
    lines.push({ at, why: whyOf(why as number), event: event || phase, phase, attempt, node } as StoryLine)
  }
  return lines
}
