// What `--accept` makes of floors.json: ratios go up by themselves, and down only with a reason.

import type { Interval } from './decision.ts'
import { type Floor, type Floors, figureName, type GatedFigure } from './floors.ts'
import type { Judged } from './verdict.ts'

/** What a floor leaves below the accepted ratio, as a share of it. */
export const FLOOR_SHARE: number = 0.85

// How far below the median the accepted ratio may be, as a share of it.
const CAUTION_MAX = 0.05

export interface Acceptance {
  /** A date and a commit. */
  readonly taken: string
  /** Without one nothing is lowered. */
  readonly reason: string | undefined
}

function roundedDown(value: number): number {
  const digits = value >= 10 ? 0 : 2
  return Math.floor(value * 10 ** digits + 1e-9) / 10 ** digits
}

function move(
  was: Floor,
  { median, low }: Interval,
  tolerance: number,
  reason: string | undefined,
): Floor {
  if (low === undefined) return was
  // The low end, for a median that luck raised would be held against honest runs; but noisy rounds
  // must not make a bar so low that a slowdown passes below it.
  const seen = roundedDown(Math.max(low, median * (1 - CAUTION_MAX)))
  const promised = roundedDown(seen * FLOOR_SHARE)
  if (seen >= was.accepted) return { floor: Math.max(was.floor, promised), accepted: seen }
  // A reason is for what fell; noise alone lowers nothing.
  if (reason === undefined || median >= was.accepted) return was
  const isFloorFar = was.floor <= seen * (1 - tolerance)
  return { floor: isFloorFar ? was.floor : promised, accepted: seen }
}

function isLower(now: Floor, was: Floor): boolean {
  return now.floor < was.floor || now.accepted < was.accepted
}

function isSame(now: Floor, was: Floor): boolean {
  return now.floor === was.floor && now.accepted === was.accepted
}

function moveFigure(
  figure: GatedFigure,
  judged: Judged,
  tolerance: number,
  { taken, reason }: Acceptance,
): GatedFigure {
  if (judged.verdict === 'not judged') return figure
  const wall = move(figure.wall, judged.final.wall.interval, tolerance, reason)
  const cpu = move(figure.cpu, judged.final.cpu.interval, tolerance, reason)
  if (isSame(wall, figure.wall) && isSame(cpu, figure.cpu)) return figure
  const fell = isLower(wall, figure.wall) || isLower(cpu, figure.cpu)
  return { ...figure, wall, cpu, taken, ...(fell && reason !== undefined ? { reason } : {}) }
}

/** `floors` with what was judged taken into it. */
export function accept(floors: Floors, judged: readonly Judged[], acceptance: Acceptance): Floors {
  const figures = floors.figures.map((figure) => {
    const it = judged.find((candidate) => figureName(candidate.figure) === figureName(figure))
    return it === undefined ? figure : moveFigure(figure, it, floors.tolerance, acceptance)
  })
  return { ...floors, figures }
}
