// A server that has just started, and a fleet behind one address whose members all log in at once.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { hashPassword } from '../../workers/credentials.ts'
import { type Server, startServer } from '../support/server.ts'
import { temporaryFolder } from './product.ts'

const password = 'tuesday-fjord-lemon'

describe('a server that has just started', () => {
  const folder = temporaryFolder()
  const scene = {} as { server: Server }
  before(async () => {
    const hash = JSON.stringify(hashPassword(password))
    const users = Array.from(
      { length: 32 },
      (_, i) => `[auth.identity.job-${i}]\nusername = "job-${i}"\npassword = ${hash}\n`,
    )
    const base = `[server]
port = 0
[blob_store.fs]
root_dir = ${JSON.stringify(join(folder.path, 'data'))}
[global.access_policy]
default = "deny"
rules = ["identity.username != null"]
${users.join('')}`
    scene.server = await startServer({ base })
  })
  after(async () => {
    const exit = await scene.server.stop()
    assert.equal(exit.code, 0)
  })

  async function login(username: string, secret: string): Promise<number> {
    const authorization = `Basic ${Buffer.from(`${username}:${secret}`).toString('base64')}`
    const response = await fetch(`${scene.server.url}/v2/`, { headers: { authorization } })
    await response.arrayBuffer()
    return response.status
  }

  test('lets in all of a fleet that logs in at once from one address', async () => {
    const statuses = await Promise.all(
      Array.from({ length: 32 }, (_, i) => login(`job-${i}`, password)),
    )
    assert.deepEqual(statuses, new Array<number>(32).fill(200))
  })

  test('looks at five of as many guesses at once, and the fleet goes on', async () => {
    const statuses = await Promise.all(
      Array.from({ length: 32 }, (_, i) => login(`job-${i}`, `guess ${i}`)),
    )
    assert.equal(statuses.filter((status) => status === 401).length, 5)
    assert.equal(statuses.filter((status) => status === 429).length, 27)
    assert.equal(await login('job-7', password), 200)
  })
})
