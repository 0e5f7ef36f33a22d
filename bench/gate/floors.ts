// bench/floors.json: what is gated, how low each ratio may be, and what was accepted last.

import { readFileSync } from 'node:fs'
import { SCENARIOS, SUBJECTS } from '../catalogue.ts'
import type { ReferenceName, Scenario, StoreKind } from '../contract.ts'
import type { Witness } from './decision.ts'

/** Ratios ours ÷ reference of the same run. */
export interface Floor {
  /** Never below this. */
  readonly floor: number
  /** The last accepted one; `tolerance` below it is a fall as well. */
  readonly accepted: number
}

export interface GatedFigure {
  /** A name of the catalogue. */
  readonly scenario: string
  readonly store: StoreKind
  readonly reference: ReferenceName
  readonly witness: Witness
  /** What is wanted of the ratio per second; shown, never judged. */
  readonly goal?: number
  readonly wall: Floor
  readonly cpu: Floor
  /** When and on what the accepted ratios were taken: a date and a commit. */
  readonly taken: string
  /** Why the last change that asks less was made. */
  readonly reason?: string
}

export interface Floors {
  readonly format: 1
  /** How far below the last accepted ratio a figure may be, as a share of it. */
  readonly tolerance: number
  readonly figures: readonly GatedFigure[]
}

export const FLOORS_FILE = 'bench/floors.json'

/** The name of a figure, unique in its file. */
export function figureName({ scenario, store, reference }: GatedFigure): string {
  return `${scenario}${store === 'disk' ? '' : ' (memory)'} ÷ ${reference}`
}

/** What a ratio is held to: its floor, or `tolerance` below the accepted one where that is more. */
export function barOf({ floor, accepted }: Floor, tolerance: number): number {
  return Math.max(floor, accepted * (1 - tolerance))
}

type Fields = Readonly<Record<string, unknown>>

function fail(place: string, what: string): never {
  throw new Error(`${place}: ${what}`)
}

function fieldsOf(value: unknown, place: string, known: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return fail(place, 'is not an object')
  }
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) fail(place, `has the unknown key ${key}`)
  }
  return value as Fields
}

function numberIn(value: unknown, place: string, low: number, high: number): number {
  if (typeof value === 'number' && value >= low && value <= high) return value
  return fail(place, `is not a number from ${low} to ${high}`)
}

function textOf(value: unknown, place: string): string {
  if (typeof value === 'string' && value.trim() !== '') return value
  return fail(place, 'is not a text')
}

function oneOf<T extends string>(value: unknown, place: string, names: readonly T[]): T {
  return names.find((name) => name === value) ?? fail(place, `is not one of ${names.join(', ')}`)
}

// A ratio beyond these is a slip of the keyboard.
const RATIO_MIN = 0.01
const RATIO_MAX = 1000

function parseFloor(value: unknown, place: string): Floor {
  const fields = fieldsOf(value, place, ['floor', 'accepted'])
  const floor = numberIn(fields['floor'], `${place}.floor`, RATIO_MIN, RATIO_MAX)
  const accepted = numberIn(fields['accepted'], `${place}.accepted`, RATIO_MIN, RATIO_MAX)
  if (accepted < floor) fail(place, 'accepts less than its floor')
  return { floor, accepted }
}

const FIGURE_KEYS = 'scenario store reference witness goal wall cpu taken reason'.split(' ')

function parseFigure(value: unknown, place: string): GatedFigure {
  const fields = fieldsOf(value, place, FIGURE_KEYS)
  const { goal, reason } = fields
  return {
    scenario: textOf(fields['scenario'], `${place}.scenario`),
    store: oneOf(fields['store'], `${place}.store`, ['disk', 'memory']),
    reference: textOf(fields['reference'], `${place}.reference`) as ReferenceName,
    witness: oneOf(fields['witness'], `${place}.witness`, ['wall', 'cpu', 'both']),
    ...(goal === undefined ? {} : { goal: numberIn(goal, `${place}.goal`, RATIO_MIN, RATIO_MAX) }),
    wall: parseFloor(fields['wall'], `${place}.wall`),
    cpu: parseFloor(fields['cpu'], `${place}.cpu`),
    taken: textOf(fields['taken'], `${place}.taken`),
    ...(reason === undefined ? {} : { reason: textOf(reason, `${place}.reason`) }),
  }
}

/**
 * Strict: an unknown key, a missing one and a figure that stands twice are refused.
 * Errors: Error that names the place.
 */
export function parseFloors(text: string, place: string = FLOORS_FILE): Floors {
  const fields = fieldsOf(JSON.parse(text), place, ['format', 'tolerance', 'figures'])
  if (fields['format'] !== 1) fail(place, 'format is not 1')
  const tolerance = numberIn(fields['tolerance'], `${place}: tolerance`, 0, 0.5)
  const list = fields['figures']
  if (!Array.isArray(list) || list.length === 0) return fail(place, 'figures is not a list')
  const figures = list.map((it, index) => parseFigure(it, `${place}: figures[${index}]`))
  const names = figures.map(figureName)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) fail(place, `${twice} stands there twice`)
  return { format: 1, tolerance, figures }
}

/** Errors: Error where the file is absent, wrong, or names what the catalogue does not have. */
export function readFloors(path: string): Floors {
  const floors = parseFloors(readFileSync(path, 'utf8'), path)
  for (const figure of floors.figures) scenarioOf(figure)
  return floors
}

/** Errors: Error where the catalogue cannot run `figure`. */
export function scenarioOf(figure: GatedFigure): Scenario {
  const scenario = SCENARIOS.find(({ name }) => name === figure.scenario)
  const place = figureName(figure)
  if (scenario === undefined) return fail(place, 'there is no such scenario')
  if (!scenario.stores.includes(figure.store)) fail(place, `never runs on ${figure.store}`)
  if (!(figure.reference in SUBJECTS)) fail(place, 'there is no such reference')
  if (!scenario.references.includes(figure.reference)) fail(place, 'is never compared with it')
  if (scenario.unit === 'MiB' || scenario.unit === 'ms') fail(place, 'is no rate')
  return scenario
}

/** The text of the file, as the linter wants it. */
export function renderFloors(floors: Floors): string {
  return `${JSON.stringify(floors, undefined, 2)}\n`
}
