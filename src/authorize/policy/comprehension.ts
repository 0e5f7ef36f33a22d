// exists, all, exists_one, filter and map: the only loops of the language, each round charged for.

import { type Evaluate, type Frame, isAbsorbable, type RuleFault } from './frame.ts'
import { listOf } from './operators.ts'
import { isMap, keysOf, typeName } from './value.ts'

export interface Comprehension<About> {
  /** What it goes through. */
  readonly range: Evaluate<About>
  /** Where the variable's value is put. */
  readonly slot: number
  /** One or two expressions of the variable. */
  readonly bodies: readonly [Evaluate<About>, (Evaluate<About> | undefined)?]
  /** Work of one round, in units. */
  readonly work: number
}

type Build = <About>(comprehension: Comprehension<About>) => Evaluate<About>

/** By name and number of arguments, the variable counted. */
export const comprehensions: Readonly<Record<string, Build>> = {
  'exists/2': (parts) => quantifier(parts, true),
  'all/2': (parts) => quantifier(parts, false),
  'exists_one/2': (parts) => (frame) => {
    let count = 0
    forEach(parts, frame, () => {
      if (truth(parts.bodies[0](frame), frame)) count += 1
    })
    return count === 1
  },
  'filter/2': (parts) => (frame) => {
    const kept: unknown[] = []
    forEach(parts, frame, (item) => {
      if (truth(parts.bodies[0](frame), frame)) kept.push(item)
    })
    return kept
  },
  'map/2': (parts) => (frame) => {
    const made: unknown[] = []
    forEach(parts, frame, () => made.push(parts.bodies[0](frame)))
    return made
  },
  'map/3': (parts) => {
    const [filter, transform = filter] = parts.bodies
    return (frame) => {
      const made: unknown[] = []
      forEach(parts, frame, () => {
        if (truth(filter(frame), frame)) made.push(transform(frame))
      })
      return made
    }
  },
}

/** A bool, and no other value. */
export function truth(value: unknown, frame: Frame): boolean {
  if (typeof value === 'boolean') return value
  throw frame.fault(`expected a bool, not ${typeName(value)}`)
}

// One element that decides is enough, whatever failed for others. Source: CEL spec "Macros".
function quantifier<About>(parts: Comprehension<About>, decisive: boolean): Evaluate<About> {
  const { range, slot, work } = parts
  const [body] = parts.bodies
  return (frame) => {
    let failure: RuleFault | undefined
    for (const item of itemsOf(range(frame), frame)) {
      frame.charge(work)
      frame.slots[slot] = item
      try {
        if (truth(body(frame), frame) === decisive) return decisive
      } catch (error) {
        if (!isAbsorbable(error)) throw error
        failure ??= error
      }
    }
    if (failure !== undefined) throw failure
    return !decisive
  }
}

function forEach<About>(
  parts: Comprehension<About>,
  frame: Frame<About>,
  visit: (item: unknown) => void,
): void {
  for (const item of itemsOf(parts.range(frame), frame)) {
    frame.charge(parts.work)
    frame.slots[parts.slot] = item
    visit(item)
  }
}

function itemsOf(value: unknown, frame: Frame): readonly unknown[] {
  return listOf(isMap(value) ? keysOf(value) : value, frame)
}
