// Password hashes in threads: which hashes are understood, how much may wait, and what a death costs.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, describe, test } from 'node:test'
import { hashSync } from '@node-rs/argon2'
import bcrypt from 'bcryptjs'
import { OciError } from '../../src/oci/error.ts'
import { type CredentialPool, createCredentialPool } from '../../src/offload/credential-pool.ts'

const argon = hashSync('correct horse', { memoryCost: 19_456, timeCost: 2, parallelism: 1 })

function usePool(workers: number, queueMax: number): CredentialPool {
  const pool = createCredentialPool({ workers, queueMax })
  after(() => pool.close())
  return pool
}

describe('password hashes', () => {
  const pool = usePool(1, 16)

  test('an argon2id hash knows its password', async () => {
    assert.equal(await pool.verifyPassword(argon, 'correct horse'), true)
    assert.equal(await pool.verifyPassword(argon, 'correct horsE'), false)
  })

  test('a bcrypt hash of an htpasswd file knows its password', async () => {
    const hash = bcrypt.hashSync('battery staple', 4).replace('$2b$', '$2y$')
    assert.equal(await pool.verifyPassword(hash, 'battery staple'), true)
    assert.equal(await pool.verifyPassword(hash, 'battery'), false)
  })

  for (const hash of ['', 'plain', '$argon2id$v=19$m=1', '$2y$', 'correct horse']) {
    test(`what is no hash knows no password: ${JSON.stringify(hash)}`, async () => {
      assert.equal(await pool.verifyPassword(hash, 'correct horse'), false)
    })
  }
})

describe('a flood of logins', () => {
  const pool = usePool(1, 8)

  test('beyond the queue is told to come back later, and the others are served', async () => {
    const asked = Array.from({ length: 40 }, () => pool.verifyPassword(argon, 'correct horse'))
    const ends = await Promise.allSettled(asked)
    const served = ends.filter((end) => end.status === 'fulfilled')
    const refused = ends.filter((end) => end.status === 'rejected')
    assert.ok(served.length >= 8 && served.length <= 10, `${served.length} were served`)
    for (const { reason } of refused) {
      assert.ok(reason instanceof OciError)
      assert.equal(reason.status, 503)
      assert.deepEqual(reason.headers, [['Retry-After', '2']])
    }
    assert.equal(await pool.verifyPassword(argon, 'correct horse'), true)
  })

  test('does not take the threads that read files', async () => {
    const asked = Array.from({ length: 8 }, () => pool.verifyPassword(argon, 'x'))
    let isHashing = true
    const hashing = Promise.all(asked).then(() => {
      isHashing = false
    })
    await readFile(new URL(import.meta.url))
    assert.ok(isHashing, 'a file was read while hashes were being computed')
    await hashing
  })

  test('the pool ends only after the hashes under way', async () => {
    const closing = createCredentialPool({ workers: 1, queueMax: 8 })
    const asked = closing.verifyPassword(argon, 'correct horse')
    await closing.close()
    assert.equal(await asked, true)
  })

  test('starts no thread for a login that comes after the end', async () => {
    const pool = createCredentialPool({ workers: 1, queueMax: 8 })
    await pool.close()
    await assert.rejects(pool.verifyPassword(argon, 'correct horse'), (error) => {
      return error instanceof OciError && error.status === 503
    })
  })
})
