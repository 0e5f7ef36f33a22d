// Goal: a credentials thread that dies in the midst of a hash costs that one login, and no more.
// Method: the constructor of threads is watched, and threads are ended from here.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import workerThreads, { type Worker } from 'node:worker_threads'
import { hashSync } from '@node-rs/argon2'
import { OciError } from '../../src/oci/error.ts'
import { type CredentialPool, createCredentialPool } from '../../src/offload/credential-pool.ts'
import { until, within } from '../support/until.ts'

const argon = hashSync('correct horse', { memoryCost: 19_456, timeCost: 2, parallelism: 1 })
// About a second, so that an end comes in its midst.
const slow = hashSync('correct horse', { memoryCost: 262_144, timeCost: 6, parallelism: 1 })

describe('a credentials thread', () => {
  const threads: Worker[] = []
  const { Worker: original } = workerThreads
  let failsAtStart = false

  before(() => {
    class Watched extends original {
      constructor(...[file, options]: ConstructorParameters<typeof Worker>) {
        super(
          failsAtStart ? new URL('data:text/javascript,throw new Error("at its start")') : file,
          {
            ...options,
          },
        )
        threads.push(this)
      }
    }
    // What piscina takes at each start of a thread.
    workerThreads.Worker = Watched
  })
  after(() => {
    workerThreads.Worker = original
  })

  async function openPool(workers: number): Promise<CredentialPool> {
    threads.length = 0
    const pool = createCredentialPool({ workers, queueMax: 16 })
    assert.equal(await pool.verifyPassword(argon, 'correct horse'), true)
    return pool
  }

  function isUnavailable(error: unknown): boolean {
    return error instanceof OciError && error.status === 503
  }

  test('that is ended in a hash costs that login alone, and another takes its place', async () => {
    const pool = await openPool(1)
    const [thread] = threads
    assert.ok(thread)
    const lost = pool.verifyPassword(slow, 'correct horse')
    const waiting = [1, 2, 3].map(() => pool.verifyPassword(argon, 'correct horse'))
    await until('they wait', () => pool.waiting === 3)
    const ended = thread.terminate()
    const refused = assert.rejects(lost, isUnavailable)
    await readFile(new URL(import.meta.url))
    await within('the answer to the login that was lost', refused)
    assert.deepEqual(await within('the others', Promise.all(waiting)), [true, true, true])
    await ended
    assert.equal(threads.length, 2)
    await pool.close()
  })

  test('that is ended leaves the hashes of another one alone', async () => {
    const pool = await openPool(2)
    await until('both are there', () => threads.length === 2)
    await Promise.all([1, 2].map(() => pool.verifyPassword(argon, 'correct horse')))
    const both = [1, 2].map(() => pool.verifyPassword(slow, 'correct horse'))
    void threads[0]?.terminate()
    const ends = await within('both', Promise.allSettled(both))
    assert.deepEqual(ends.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
    await pool.close()
  })

  test('that dies before it has begun is replaced too', async () => {
    threads.length = 0
    const pool = createCredentialPool({ workers: 1, queueMax: 16 })
    const asked = pool.verifyPassword(argon, 'correct horse')
    const [thread] = threads
    assert.ok(thread)
    void thread.terminate()
    await within('an answer', Promise.allSettled([asked]))
    assert.equal(await within('the next', pool.verifyPassword(argon, 'correct horse')), true)
    await pool.close()
  })

  test('that fails at each start leaves no login without an answer, and one that starts helps', async () => {
    threads.length = 0
    failsAtStart = true
    const pool = createCredentialPool({ workers: 1, queueMax: 16 })
    const login = (): Promise<boolean> => pool.verifyPassword(argon, 'correct horse')
    for (const round of ['the first', 'the second', 'the third']) {
      const logins = Promise.allSettled([login(), login(), login()])
      for (const each of await within(`an answer to ${round}`, logins)) {
        assert.ok(each.status === 'rejected' && isUnavailable(each.reason))
      }
      await assert.rejects(within('a word on the threads', pool.ping()), /at its start/)
    }
    assert.equal(pool.waiting, 0)
    failsAtStart = false
    // The first of them may still meet a thread that fails.
    const works = async (): Promise<void> => {
      while (!(await login().catch(() => false)));
    }
    await within('a login', works())
    await within('threads that work', pool.ping())
    await pool.close()
  })
})
