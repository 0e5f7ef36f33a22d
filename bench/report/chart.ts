// A picture of a run: one bar for each expectation, as long as what was measured is to what is
// wanted, so that all goals stand on one line.

import { formatNumber, storeLabel } from './format.ts'
import type { RunRecord } from './record.ts'
import type { ScenarioSummary, Verdict } from './summary.ts'

const WIDTH = 1010
const LABEL_WIDTH = 400
const TEXT_WIDTH = 270
const ROW_HEIGHT = 22
const TOP = 56
const BAR_HEIGHT = 12
/** Bars end here, in multiples of what is wanted. */
const SHARE_MAX = 2.5
const PIXELS_PER_SHARE: number = (WIDTH - LABEL_WIDTH - TEXT_WIDTH) / SHARE_MAX

const STYLE = `text{font:12px system-ui,sans-serif;fill:#24292f}
.title{font-size:15px;font-weight:600}.quiet{fill:#57606a}
.met{fill:#2da44e}.missed{fill:#cf222e}.goal{stroke:#57606a;stroke-dasharray:4 3}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9198a1}.goal{stroke:#9198a1}
.met{fill:#3fb950}.missed{fill:#f85149}}`

export interface Bar {
  readonly label: string
  /** Behind the bar. */
  readonly text: string
  /** Measured ÷ wanted; above 1 is met. */
  readonly share: number
  readonly met: boolean
}

function barOf(summary: ScenarioSummary, { goal, measured, met }: Verdict): Bar[] {
  if (goal === undefined || measured === undefined) return []
  const store = summary.store === 'memory' ? `, ${storeLabel(summary)}` : ''
  const witness = goal.perCpu ? ' per CPU-s' : ''
  return [
    {
      label: `${summary.asks}${store}`,
      text: `${formatNumber(measured)} × ${goal.against}${witness} (${goal.atLeast})`,
      share: measured / goal.atLeast,
      met,
    },
  ]
}

/** Of the expectations that compare with a reference. */
export function barsOf({ summaries }: Pick<RunRecord, 'summaries'>): Bar[] {
  return summaries.flatMap((summary) => summary.verdicts.flatMap((it) => barOf(summary, it)))
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}

function row({ label, text, share, met }: Bar, index: number): string {
  const y = TOP + index * ROW_HEIGHT
  const length = Math.round(Math.min(share, SHARE_MAX) * PIXELS_PER_SHARE)
  const base = y + BAR_HEIGHT - 1
  // Never across the line of the goals.
  const after = LABEL_WIDTH + Math.max(length, PIXELS_PER_SHARE) + 8
  // A bar that does not end in the picture says so.
  const more = share > SHARE_MAX ? ' »' : ''
  return [
    `<text x="${LABEL_WIDTH - 10}" y="${base}" text-anchor="end">${escaped(label)}</text>`,
    `<rect class="${met ? 'met' : 'missed'}" x="${LABEL_WIDTH}" y="${y}" width="${length}" height="${BAR_HEIGHT}" rx="2"/>`,
    `<text class="quiet" x="${after}" y="${base}">${escaped(`${text}${more}`)}</text>`,
  ].join('\n')
}

/** An SVG that reads well on light and on dark pages. */
export function chart(run: RunRecord): string {
  const bars = barsOf(run)
  const bottom = TOP + bars.length * ROW_HEIGHT
  const goal = LABEL_WIDTH + PIXELS_PER_SHARE
  const { machine, revision, date } = run
  const under = `${revision.commit}, ${date.slice(0, 10)}, ${machine.cpu}, Node ${machine.node}`
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${bottom + 30}" role="img">`,
    `<title>Keelson beside its references</title>`,
    `<style>${STYLE}</style>`,
    `<text class="title" x="10" y="20">Keelson ÷ reference; the dashed line is what is wanted (in brackets)</text>`,
    ...bars.map(row),
    `<line class="goal" x1="${goal}" y1="${TOP - 10}" x2="${goal}" y2="${bottom}"/>`,
    `<text class="quiet" x="10" y="${bottom + 18}">${escaped(under)}</text>`,
    '</svg>',
    '',
  ].join('\n')
}
