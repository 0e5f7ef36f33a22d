// What a run of record logic has been told of the database so far, and what it still wants to know.

import type { KeyRange, KeyValueEntry, KeyValueReader } from '../kv/contract.ts'

export interface WantedRange extends KeyRange {
  /** The values of the entries of the last two are empty. */
  readonly of: 'entries' | 'keys' | 'bodyKeys'
}

/** What the next fetch has to bring. */
export interface Wanted {
  readonly records: readonly string[]
  readonly bodies: readonly string[]
  readonly lengths: readonly string[]
  readonly ranges: readonly WantedRange[]
}

/** What it brought, in the order of what was wanted; undefined is absent. */
export interface Fetched {
  readonly records: readonly (string | undefined)[]
  readonly bodies: readonly (Uint8Array | undefined)[]
  readonly lengths: readonly (number | undefined)[]
  readonly ranges: readonly KeyValueEntry[][]
}

/** Answers by question; a question without one is noted, and gets a stand-in for now. */
class Answers<Question, Answer> {
  readonly #answers = new Map<string, Answer>()
  readonly #wanted = new Map<string, Question>()

  ask(id: string, question: Question, standIn: Answer): Answer {
    const answer = this.#answers.get(id)
    if (answer !== undefined || this.#answers.has(id)) return answer as Answer
    this.#wanted.set(id, question)
    return standIn
  }

  get wanted(): Question[] {
    return [...this.#wanted.values()]
  }

  learn(answers: readonly Answer[]): void {
    const ids = [...this.#wanted.keys()]
    this.#wanted.clear()
    for (const [index, id] of ids.entries()) this.#answers.set(id, answers[index] as Answer)
  }
}

/**
 * Record logic is synchronous and a database is not. So the logic runs over these rows: what is not known yet
 * reads as absent and is noted, all that was noted is fetched together, and the logic runs again from its
 * start, until a run has asked nothing new. Only what that run answers, throws and writes counts.
 */
export class KnownRows implements KeyValueReader {
  readonly #records = new Answers<string, string | undefined>()
  readonly #bodies = new Answers<string, Uint8Array | undefined>()
  readonly #lengths = new Answers<string, number | undefined>()
  readonly #ranges = new Answers<WantedRange, KeyValueEntry[]>()

  get(key: string): string | undefined {
    return this.#records.ask(key, key, undefined)
  }

  getBody(key: string): Uint8Array | undefined {
    return this.#bodies.ask(key, key, undefined)
  }

  bodyLength(key: string): number | undefined {
    return this.#lengths.ask(key, key, undefined)
  }

  entries(range: KeyRange): KeyValueEntry[] {
    return [...this.#within({ ...range, of: 'entries' })]
  }

  keys(range: KeyRange): string[] {
    return this.#within({ ...range, of: 'keys' }).map(({ key }) => key)
  }

  bodyKeys(range: KeyRange): string[] {
    return this.#within({ ...range, of: 'bodyKeys' }).map(({ key }) => key)
  }

  /** What the last run has asked and nobody has answered. */
  get wanted(): Wanted {
    return {
      records: this.#records.wanted,
      bodies: this.#bodies.wanted,
      lengths: this.#lengths.wanted,
      ranges: this.#ranges.wanted,
    }
  }

  /** Want all of this, as if a run had asked for it. */
  want({ records, bodies, lengths, ranges }: Wanted): void {
    for (const key of records) this.get(key)
    for (const key of bodies) this.getBody(key)
    for (const key of lengths) this.#lengths.ask(key, key, undefined)
    for (const range of ranges) this.#within(range)
  }

  /** The answers to `wanted`. */
  learn({ records, bodies, lengths, ranges }: Fetched): void {
    this.#records.learn(records)
    this.#bodies.learn(bodies)
    this.#lengths.learn(lengths)
    this.#ranges.learn(ranges)
  }

  #within(range: WantedRange): readonly KeyValueEntry[] {
    const { start, end, limit = '', reverse = false, of } = range
    // Keys hold no line breaks.
    return this.#ranges.ask(`${start}\n${end}\n${limit}\n${reverse}\n${of}`, range, [])
  }
}

export function wantsNothing({ records, bodies, lengths, ranges }: Wanted): boolean {
  return records.length + bodies.length + lengths.length + ranges.length === 0
}
