// The table that a human reads after a gate, and the warnings below it.

import { median } from '../statistics.ts'
import type { Interval, Reading } from './decision.ts'
import { type Floor, figureName } from './floors.ts'
import type { Finding } from './judge.ts'
import type { Judged } from './verdict.ts'

const HEADINGS =
  'figure|witness|floor|accepted|bar|measured|interval|busy|rounds|goal|verdict'.split('|')

function ratio(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '?'
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3)
}

function span({ low, high }: Interval): string {
  return `${ratio(low)} to ${ratio(high)}`
}

function line(
  label: string,
  witness: string,
  { floor, accepted }: Floor,
  { bar, interval, side }: Reading,
  rest: readonly string[],
): readonly string[] {
  const numbers = [floor, accepted, bar, interval.median].map(ratio)
  return [label, `${witness}: ${side}`, ...numbers, span(interval), ...rest]
}

function goalOf(goal: number | undefined, measured: number): string {
  if (goal === undefined) return ''
  return `${goal} ${measured >= goal ? 'met' : 'missed'}`
}

/** How busy ours kept its core, in the median. */
function busyOf({ pairs }: Finding): string {
  const shares = pairs.flatMap(({ busy }) => busy ?? [])
  return shares.length === 0 ? '?' : `${Math.round(median(shares) * 100)} %`
}

function roundsOf(first: Finding, second: Finding | undefined): string {
  const more = second === undefined ? '' : ` + ${second.pairs.length}`
  return `${first.pairs.length}${more}`
}

/** Two lines a figure, one for each witness; the one that does not count stands in brackets. */
function linesOf(judged: Judged): readonly (readonly string[])[] {
  const { figure } = judged
  const name = figureName(figure)
  if (judged.verdict === 'not judged') {
    return [[name, ...Array(9).fill(''), `not judged: ${judged.problem.text}`]]
  }
  const { first, second, final, verdict } = judged
  const title = (witness: 'wall' | 'cpu', text: string): string =>
    figure.witness === 'both' || figure.witness === witness ? text : `(${text})`
  const rest = [
    busyOf(final),
    roundsOf(first, second),
    goalOf(figure.goal, final.wall.interval.median),
    verdict === 'fell' ? 'FELL' : verdict,
  ]
  return [
    line(name, title('wall', 'per second'), figure.wall, final.wall, rest),
    line('', title('cpu', 'per CPU-s'), figure.cpu, final.cpu, ['', '', '', '']),
  ]
}

function warningOf(judged: Judged): string | undefined {
  const name = figureName(judged.figure)
  if (judged.verdict === 'not judged') {
    return `WARNING: ${name} was not judged: ${judged.problem.text}`
  }
  const { first, second, final, verdict } = judged
  if (verdict === 'undecided') {
    const why =
      second === undefined
        ? `${first.pairs.length} rounds leave its bar inside the interval`
        : 'it was below its bar, and after a fresh start of the servers not clearly so'
    return `WARNING: ${name} is UNDECIDED and passes unproved: ${why}`
  }
  const isBelow = final.wall.side === 'below' || final.cpu.side === 'below'
  if (verdict === 'holds' && isBelow) {
    const side = final.wall.side === 'below' ? 'per second' : 'per CPU-second'
    return `WARNING: ${name} holds, but ${side} it is below its bar`
  }
  return undefined
}

/** Ends in a line feed. */
export function gateTable(judged: readonly Judged[]): string {
  const rows = [HEADINGS, ...judged.flatMap(linesOf)]
  const widths = HEADINGS.map((_, column) =>
    // The last column needs no room behind it.
    column === HEADINGS.length - 1 ? 0 : Math.max(...rows.map((row) => (row[column] ?? '').length)),
  )
  const text = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  const warnings = judged.flatMap((it) => warningOf(it) ?? [])
  return `${[...text, ...(warnings.length === 0 ? [] : ['']), ...warnings].join('\n')}\n`
}
