// Storms a shared store: processes open it, close it and are killed again and again while this one
// writes to it without a pause. Counts what was acknowledged and is gone.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import {
  type LmdbMetadataStore,
  type LmdbOptions,
  openLmdbMetadataStore,
} from '../../src/storage/metadata/lmdb/open.ts'
import { app, manifest, tag } from '../contract/metadata/scene.ts'
import { lmdbOptions } from '../storage/metadata/lmdb-scene.ts'
import type { Dice } from '../support/dice.ts'
import { within } from '../support/until.ts'
import type { StormReport } from './storm-process.ts'

export interface StormOptions {
  readonly path: string
  readonly durability: LmdbOptions['durability']
  readonly dice: Dice
  /** It ends when one of these is reached. */
  readonly roundsMax: number
  readonly timeMaxMs: number
}

export interface Storm {
  /** Processes started, and killed or ended again. */
  readonly rounds: number
  readonly opens: number
  readonly writes: number
  /** What was acknowledged and not found, or went wrong otherwise. */
  readonly faults: readonly string[]
}

const processesAtOnce = 2
const writersHere = 2
const endWithinMs = 300

class Storming {
  readonly #options: StormOptions
  readonly #endAt: number
  readonly #stored = new Set<string>()
  readonly #faults: string[] = []
  #begun = 0
  #rounds = 0
  #opens = 0
  #isOver = false

  constructor(options: StormOptions) {
    this.#options = options
    this.#endAt = performance.now() + options.timeMaxMs
  }

  async run(): Promise<Storm> {
    const { path, durability } = this.#options
    const options = lmdbOptions(path, { sharing: 'shared', durability })
    const store = await openLmdbMetadataStore(options)
    const writers = Array.from({ length: writersHere }, (_, id) =>
      this.#write(store, id).catch((error: unknown) => void this.#faults.push(`${error}`)),
    )
    const starters = Array.from({ length: processesAtOnce }, () => this.#startAgainAndAgain())
    try {
      await Promise.all(starters)
    } finally {
      this.#isOver = true
      await Promise.all(writers)
    }
    store.refresh()
    for (const name of this.#stored) {
      const found = store.readManifest(app, manifest(name).digest)
      if (found === undefined) this.#faults.push(`${name} is gone in the end`)
    }
    await store.close()
    return {
      ...{ rounds: this.#rounds, opens: this.#opens },
      ...{ writes: this.#stored.size, faults: this.#faults },
    }
  }

  async #write(store: LmdbMetadataStore, id: number): Promise<void> {
    const own = tag(`own-${id}`)
    for (let number = 0; !this.#isOver; number++) {
      const name = `own ${id} ${number}`
      const put = manifest(name, { tags: [own] })
      await store.putManifest(put)
      this.#stored.add(name)
      store.refresh()
      if (store.readTag(app, own) !== put.digest) this.#faults.push(`${name} was gone at once`)
    }
  }

  async #startAgainAndAgain(): Promise<void> {
    const { roundsMax } = this.#options
    while (this.#begun < roundsMax && performance.now() < this.#endAt) {
      await this.#round(this.#begun++)
      this.#rounds++
    }
  }

  async #round(number: number): Promise<void> {
    const { path, durability, dice } = this.#options
    // The extension is that of this file, built or not.
    const url = import.meta.url.replace(/open-storm\.(js|ts)$/, 'storm-process.$1')
    const line = [fileURLToPath(url), path, durability, `${number}`]
    const child = spawn(process.execPath, line, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    const exited = once(child, 'exit')
    const ends = dice.chance(0.25)
    const endAfterMs = dice.below(endWithinMs)
    let timer: NodeJS.Timeout | undefined
    child.on('message', (report: StormReport) => {
      this.#hear(report)
      // From the first word on: a start takes as long as the machine likes.
      timer ??= setTimeout(() => end(child, ends), endAfterMs)
    })
    await within('the end of a process', exited, 30_000)
    clearTimeout(timer)
  }

  #hear(report: StormReport): void {
    if (report.kind === 'opened') this.#opens++
    else if (report.kind === 'stored') this.#stored.add(report.name)
    else this.#faults.push(JSON.stringify(report))
  }
}

function end(child: ChildProcess, isAsked: boolean): void {
  if (!isAsked) child.kill('SIGKILL')
  // One that has ended by now shows by its end.
  else child.send('end', () => {})
}

export function storm(options: StormOptions): Promise<Storm> {
  return new Storming(options).run()
}
