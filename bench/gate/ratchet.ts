// Floors only move up: what a new floors.json asks less of than the one before, and whether the
// change says why.

import { spawnSync } from 'node:child_process'
import { FLOORS_FILE, type Floors, figureName, type GatedFigure, parseFloors } from './floors.ts'

/** floors.json and the changelog of one moment. */
export interface Edition {
  readonly floors: Floors
  readonly changelog: string
}

/** One thing that is asked less of. */
export interface Loosening {
  readonly figure: GatedFigure
  readonly what: string
  /** A promise is broken, and not merely what was last seen: the changelog must tell users. */
  readonly isPromise: boolean
  /** What the new file says of it; undefined where the figure is gone. */
  readonly now: GatedFigure | undefined
}

function loosenings(before: Floors, after: Floors): Loosening[] {
  return before.figures.flatMap((figure) => {
    const now = after.figures.find((it) => figureName(it) === figureName(figure))
    if (now === undefined) return [{ figure, what: 'is gated no more', isPromise: true, now }]
    const found: Loosening[] = []
    const add = (what: string, isPromise: boolean): void => {
      found.push({ figure, what, isPromise, now })
    }
    for (const side of ['wall', 'cpu'] as const) {
      const [was, is] = [figure[side], now[side]]
      if (is.floor < was.floor) add(`${side}.floor fell from ${was.floor} to ${is.floor}`, true)
      if (is.accepted < was.accepted) {
        add(`${side}.accepted fell from ${was.accepted} to ${is.accepted}`, false)
      }
    }
    if (now.witness !== figure.witness) {
      add(`witness changed from ${figure.witness} to ${now.witness}`, false)
    }
    return found
  })
}

function linesOf(text: string): readonly string[] {
  return text.split('\n').map((line) => line.trim())
}

function isTold(scenario: string, before: Edition, after: Edition): boolean {
  const known = new Set(linesOf(before.changelog))
  return linesOf(after.changelog).some((line) => line.includes(scenario) && !known.has(line))
}

/**
 * What `after` asks less of than `before` without saying why: the figure needs a new `reason`, and a
 * lowered floor, or a figure that is gone, a new line of the changelog that names the scenario.
 */
export function unexcused(before: Edition, after: Edition): readonly string[] {
  const slips = loosenings(before.floors, after.floors).flatMap(
    ({ figure, what, isPromise, now }) => {
      const lacks: string[] = []
      if (now !== undefined && (now.reason === undefined || now.reason === figure.reason)) {
        lacks.push('a reason of its own')
      }
      if (isPromise && !isTold(figure.scenario, before, after)) {
        lacks.push('a new line in CHANGELOG.md that names the scenario')
      }
      if (lacks.length === 0) return []
      return [`${figureName(figure)}: ${what}, which needs ${lacks.join(' and ')}`]
    },
  )
  const [was, is] = [before.floors.tolerance, after.floors.tolerance]
  if (is > was && !isTold('tolerance', before, after)) {
    slips.push(`tolerance rose from ${was} to ${is}, which needs a new line in CHANGELOG.md`)
  }
  return slips
}

function git(...args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync('git', args, { encoding: 'utf8' })
  return status === 0 ? stdout : undefined
}

/** The edition of a commit; undefined where it has none. */
function editionAt(commit: string): Edition | undefined {
  const text = git('show', `${commit}:${FLOORS_FILE}`)
  if (text === undefined) return undefined
  const changelog = git('show', `${commit}:CHANGELOG.md`) ?? ''
  return { floors: parseFloors(text, `${FLOORS_FILE} of ${commit}`), changelog }
}

/**
 * The editions that commits left, newest first, as far back as the history of the clone goes; none
 * outside a clone. Limits: `most`.
 */
export function committedEditions(most: number): readonly Edition[] {
  const commits = git('log', `-${most}`, '--format=%H', '--', FLOORS_FILE)
  return (commits ?? '')
    .split('\n')
    .filter((commit) => commit !== '')
    .flatMap((commit) => editionAt(commit) ?? [])
}
