// Goal: no change of watched files is missed, whenever it comes, and none is told while its predecessor
// is at work. Method: real files and a clock that the test moves.
import assert from 'node:assert/strict'
import { mkdtemp, realpath, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { SettledWatch } from '../../src/file-watch/settled-watch.ts'
import type { Timers } from '../../src/file-watch/timers.ts'
import { until } from '../support/until.ts'

describe('a watch that lets writers finish', () => {
  let folder: string
  let watch: SettledWatch | undefined
  let pending: Array<() => void> = []
  let poll: () => void = () => {}
  const clock: Timers = {
    after: (_ms, action) => {
      pending.push(action)
      return () => {
        pending = pending.filter((each) => each !== action)
      }
    },
    every: (_ms, action) => {
      poll = action
      return () => {}
    },
  }
  beforeEach(async () => {
    folder = await realpath(await mkdtemp(join(tmpdir(), 'keelson-settled-')))
    pending = []
  })
  afterEach(async () => {
    await watch?.close()
    await rm(folder, { recursive: true, force: true })
  })

  const put = async (name: string, text: string): Promise<void> => {
    await writeFile(join(folder, `${name}.new`), text)
    await rename(join(folder, `${name}.new`), join(folder, name))
  }
  const settle = (): void => {
    for (const action of pending.splice(0)) action()
  }

  test('tells of many writes once, when they have settled', async () => {
    await put('a', '1')
    let calls = 0
    watch = new SettledWatch({
      ...{ clock, paths: () => [join(folder, 'a')] },
      onChange: async () => {
        calls += 1
      },
    })
    await watch.start()
    for (const text of ['2', '33', '444']) await put('a', text)
    await until('it is noticed', () => pending.length > 0)
    settle()
    await until('it is told', () => calls === 1)
    poll()
    await put('b', 'of no concern')
    poll()
    await watch.close()
    assert.equal(calls, 1)
  })

  test('tells again of what changes while it tells, and right after', async () => {
    await put('a', '1')
    const seen: string[] = []
    let go: () => void = () => {}
    watch = new SettledWatch({
      ...{ clock, paths: () => [join(folder, 'a')] },
      onChange: () =>
        new Promise<void>((resolve) => {
          seen.push('call')
          go = resolve
        }),
    })
    await watch.start()
    for (let round = 1; round <= 20; round += 1) {
      await put('a', 'x'.repeat(round + 1))
      poll()
      await until('the call', () => seen.length === 2 * round - 1)
      await put('a', 'y'.repeat(round + 30))
      go()
      poll()
      await until('the call for what came during it', () => seen.length === 2 * round)
      go()
    }
    await watch.close()
  })

  test('follows the files that a change names', async () => {
    await put('a', '1')
    await put('b', '1')
    let paths = [join(folder, 'a')]
    let calls = 0
    watch = new SettledWatch({
      ...{ clock, paths: () => paths },
      onChange: async () => {
        calls += 1
        paths = [join(folder, 'a'), join(folder, 'b')]
      },
    })
    await watch.start()
    await put('a', '22')
    poll()
    // Twice: what the second file was when it was read is not known.
    await until('it is told', () => calls === 1)
    poll()
    await until('it is told again', () => calls === 2)
    await put('b', '22')
    poll()
    await until('the other file is followed', () => calls === 3)
  })
})
