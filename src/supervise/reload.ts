// Puts a new configuration in force in all processes: one tries it first, and only what that takes is
// told to the others.

import type { Source } from '../config/source.ts'
import type { Logger } from '../telemetry/log.ts'
import type { ReloadResult } from './messages.ts'
import type { Slot, SlotState } from './slot.ts'

export interface ReloadParts {
  readonly slots: readonly Slot[]
  readonly first: readonly Source[]
  readonly log: Pick<Logger, 'error'>
}

// It opens what the configuration names anew, some of it on other hosts.
const reloadMs = 60_000

export class Reloads {
  readonly #parts: ReloadParts
  #accepted: readonly Source[]
  #last: Promise<unknown> = Promise.resolve()

  constructor(parts: ReloadParts) {
    this.#parts = parts
    this.#accepted = parts.first
  }

  /** What processes that start are to have. */
  get accepted(): readonly Source[] {
    return this.#accepted
  }

  /** One after another; undefined stands for files that cannot be read. Never rejects. */
  reload(sources: readonly Source[] | undefined): Promise<ReloadResult> {
    const result = this.#last.then(() => this.#attempt(sources))
    this.#last = result
    return result
  }

  /** What of them only a restart changes is in force as it was here; undefined where both are the same. */
  get first(): readonly Source[] | undefined {
    return this.#accepted === this.#parts.first ? undefined : this.#parts.first
  }

  /**
   * A process has begun to serve, maybe with what was accepted before it did. One that has not begun with all of what was
   * accepted is told that, too: it finds out what needs a restart.
   */
  catchUp(slot: Slot): void {
    if (slot.welcome?.sources === this.#accepted && this.first === undefined) return
    this.#last = this.#last.then(() => this.#tellAll([slot]))
  }

  async #attempt(sources: readonly Source[] | undefined): Promise<ReloadResult> {
    const { slots } = this.#parts
    for (const slot of slots.filter(({ state }) => state === 'serving')) {
      const result = await told(slot, sources)
      if (result === undefined) continue
      if (!result.ok || sources === undefined) return result
      this.#accepted = sources
      // Those of now: others may have come to serve meanwhile, with what was accepted before, and one
      // that is silent would wake with that.
      const takes: readonly SlotState[] = ['serving', 'silent']
      await this.#tellAll(slots.filter((each) => each !== slot && takes.includes(each.state)))
      return result
    }
    return { ok: false, problems: ['no process answers at the moment'] }
  }

  async #tellAll(slots: readonly Slot[]): Promise<void> {
    const sources = this.#accepted
    await Promise.all(
      slots.map(async (slot) => {
        const { pid } = slot
        const result = await told(slot, sources)
        // One that has ended meanwhile is replaced by one that starts with it.
        if (result?.ok === true || slot.pid !== pid) return
        const problems = result?.problems ?? ['it did not answer']
        this.#parts.log.error(
          { child: slot.index, problems },
          'a process is replaced: it does not take the configuration that another one took',
        )
        slot.tell({ kind: 'stop' })
      }),
    )
  }
}

async function told(
  slot: Slot,
  sources: readonly Source[] | undefined,
): Promise<ReloadResult | undefined> {
  return (await slot.order({ kind: 'reload', sources }, reloadMs)) as ReloadResult | undefined
}
