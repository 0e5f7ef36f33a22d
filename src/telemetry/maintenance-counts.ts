// What maintenance jobs of this process have done since its start. Counted up in place; metrics read it.

/** How a run can end, or that it could not begin. */
const results = ['ok', 'problems', 'failed', 'stopped', 'refused'] as const

export type RunResult = (typeof results)[number]

export class MaintenanceCounts {
  readonly #runs = new Map<string, Counted>()
  readonly #items = new Map<string, Counted>()
  readonly #bytes = new Map<string, Counted>()

  /** From now on its runs are shown, as none: whoever watches a count has to see it begin. */
  know(kind: string): void {
    for (const result of results) add(this.#runs, { kind, result }, 0)
  }

  /** A run has ended, or could not begin. */
  ran(kind: string, result: RunResult): void {
    add(this.#runs, { kind, result }, 1)
  }

  /** `deed`: what was done with so many items. Units: `bytes`. */
  did(kind: string, deed: string, items: number, bytes: number): void {
    add(this.#items, { kind, deed }, items)
    if (bytes > 0) add(this.#bytes, { kind, deed }, bytes)
  }

  runs(): readonly Counted[] {
    return [...this.#runs.values()]
  }

  items(): readonly Counted[] {
    return [...this.#items.values()]
  }

  bytes(): readonly Counted[] {
    return [...this.#bytes.values()]
  }
}

export interface Counted {
  readonly labels: Readonly<Record<string, string>>
  count: number
}

function add(counts: Map<string, Counted>, labels: Counted['labels'], count: number): void {
  const key = Object.values(labels).join(' ')
  const found = counts.get(key)
  if (found === undefined) counts.set(key, { labels, count })
  else found.count += count
}
