// Goal: passwords and signatures do not starve one another, and their threads are few. Method: a flood of
// the one kind beside the other, on a pool whose threads are counted.
import assert from 'node:assert/strict'
import { sign } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import workerThreads, { type Worker } from 'node:worker_threads'
import { hashSync } from '@node-rs/argon2'
import { OciError } from '../../src/oci/error.ts'
import { createCredentialPool } from '../../src/offload/credential-pool.ts'
import type { VerifyTokenTask } from '../../workers/verify-token-task.ts'
import { freshKeyPair } from '../support/fresh-key.ts'
import { within } from '../support/until.ts'

const argon = hashSync('correct horse', { memoryCost: 19_456, timeCost: 2, parallelism: 1 })
// About a quarter of a second.
const slow = hashSync('correct horse', { memoryCost: 131_072, timeCost: 3, parallelism: 1 })

const { privateKey, publicKey } = freshKeyPair('P-256')

function taskFor(
  text: string,
  header: object = { alg: 'ES256' },
  dsaEncoding: 'ieee-p1363' | 'der' = 'ieee-p1363',
): VerifyTokenTask {
  const signed = [header, { text }].map((part) => encode(JSON.stringify(part))).join('.')
  const key = { key: privateKey, dsaEncoding }
  const signature = sign('sha256', Buffer.from(signed), key).toString('base64url')
  const jwk = publicKey.export({ format: 'jwk' }) as VerifyTokenTask['jwk']
  return { token: `${signed}.${signature}`, algorithm: 'ES256', jwk, thumbprint: 'of the test' }
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64url')
}

function isBusy(end: PromiseSettledResult<unknown>): boolean {
  return end.status === 'rejected' && end.reason instanceof OciError && end.reason.status === 503
}

describe('passwords and signatures', () => {
  const threads: Worker[] = []
  const { Worker: original } = workerThreads
  before(() => {
    class Watched extends original {
      constructor(...args: ConstructorParameters<typeof Worker>) {
        super(...args)
        threads.push(this)
      }
    }
    workerThreads.Worker = Watched
  })
  after(() => {
    workerThreads.Worker = original
  })

  test('more passwords than the threads can take leave signatures alone', async () => {
    const pool = createCredentialPool({ workers: 1, queueMax: 4 })
    const signatures = await Promise.all([taskFor('a')].map((task) => pool.verifySignature(task)))
    assert.deepEqual(signatures, [true])
    const flood = Array.from({ length: 20 }, () => pool.verifyPassword(slow, 'guess'))
    let isHashing = true
    const ends = Promise.allSettled(flood).then((all) => {
      isHashing = false
      return all
    })
    const tasks = Array.from({ length: 40 }, (_, n) => taskFor(`token ${n}`))
    const verified = await Promise.all(tasks.map((task) => pool.verifySignature(task)))
    assert.ok(isHashing, 'the signatures waited for the passwords')
    assert.ok(verified.every((isGood) => isGood))
    assert.ok((await ends).filter(isBusy).length >= 14)
    await pool.close()
  })

  test('more signatures than the thread can take leave passwords alone', async () => {
    const pool = createCredentialPool({ workers: 1, queueMax: 4 })
    assert.equal(await pool.verifyPassword(argon, 'correct horse'), true)
    const task = taskFor('b')
    const flood = Promise.allSettled(Array.from({ length: 500 }, () => pool.verifySignature(task)))
    assert.ok(pool.waiting >= 60 && pool.waiting <= 64, `${pool.waiting} wait`)
    const password = pool.verifyPassword(argon, 'correct horse')
    assert.equal(await within('the password', password), true)
    const ends = await flood
    assert.ok(ends.filter(isBusy).length >= 400)
    assert.ok(ends.every((end) => isBusy(end) || end.status === 'fulfilled'))
    await pool.close()
  })

  test('have threads of their own, started when they are needed, and not more than that', async () => {
    threads.length = 0
    const pool = createCredentialPool({ workers: 4, queueMax: 16 })
    assert.equal(threads.length, 0)
    await Promise.all(Array.from({ length: 16 }, () => pool.verifySignature(taskFor('c'))))
    assert.equal(threads.length, 1)
    await Promise.all(Array.from({ length: 16 }, () => pool.verifyPassword(argon, 'x')))
    assert.equal(threads.length, 5)
    await pool.close()
  })

  test('a signature that is wrong in any way, or asked for in a wrong way, is not verified', async () => {
    const pool = createCredentialPool({ workers: 1, queueMax: 4 })
    const good = taskFor('d')
    const [head = '', body = '', signature = ''] = good.token.split('.')
    const wrongs: readonly VerifyTokenTask[] = [
      { ...good, token: `${head}.${encode('{}')}.${signature}` },
      { ...good, token: `${head}.${body}.${signature.slice(0, -4)}` },
      { ...good, token: `${head}.${body}.${encode('x'.repeat(64))}` },
      { ...good, token: `${head}.${body}.` },
      { ...good, token: `${head}.${body}` },
      { ...good, token: '' },
      // The right signature under another name.
      { ...good, algorithm: 'ES384', thumbprint: 'e' },
      { ...good, algorithm: 'RS256' },
      { ...good, algorithm: 'HS256' },
      { ...good, algorithm: 'none' },
      { ...good, algorithm: 'toString' },
      { ...good, jwk: {}, thumbprint: 'f' },
      // Rightly signed, under a header that says something else.
      taskFor('d', { alg: 'ES384' }),
      taskFor('d', { alg: 'ES256', crit: ['exp'], exp: 1 }),
      taskFor('d', {}),
      { ...taskFor('d', { alg: 'RS256' }, 'der'), algorithm: 'RS256' },
      taskFor('d', { alg: 'ES256' }, 'der'),
    ]
    for (const task of wrongs) assert.equal(await pool.verifySignature(task), false)
    assert.equal(await pool.verifySignature(good), true)
    await pool.close()
  })
})
