// A mount copies a blob into a repository where the caller may read it, so it needs the right to read
// the source; and a certificate or user that policy refuses is told so in the right way.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { type Server, startServer } from '../support/server.ts'

const content = 'what only the private repository may give away'
const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`

describe('mounting a blob', () => {
  let server: Server
  before(async () => {
    server = await startServer({
      base: `
[server]
port = 0
[blob_store.memory]
[metadata_store.memory]
[global.access_policy]
default = "deny"
rules = ["true"]
[repository.private.access_policy]
default = "deny"
rules = ["request.action in ['start-upload', 'complete-upload', 'mount-blob']"]
`,
    })
    const pushed = await post(`/v2/private/app/blobs/uploads/?digest=${digest}`, content)
    assert.equal(pushed.status, 201)
  })
  after(() => server.stop())

  function post(path: string, body?: string): Promise<Response> {
    return fetch(`${server.url}${path}`, {
      method: 'POST',
      ...(body === undefined ? {} : { body }),
    })
  }

  test('from a repository that the caller may not read opens an upload, as if there were nothing', async () => {
    for (const from of ['&from=private/app', '&from=nowhere', '']) {
      const reply = await post(`/v2/public/app/blobs/uploads/?mount=${digest}${from}`)
      assert.equal(reply.status, 202, from)
      assert.ok(reply.headers.has('docker-upload-uuid'))
    }
    const read = await fetch(`${server.url}/v2/public/app/blobs/${digest}`)
    assert.equal(read.status, 404)
  })

  test('from one that the caller may read, it is there', async () => {
    const pushed = await post(`/v2/shared/app/blobs/uploads/?digest=${digest}`, content)
    assert.equal(pushed.status, 201)
    for (const [to, from] of [
      ['public/one', '&from=shared/app'],
      ['public/two', ''],
    ]) {
      const reply = await post(`/v2/${to}/blobs/uploads/?mount=${digest}${from}`)
      assert.equal(reply.status, 201, to)
      assert.equal(await (await fetch(`${server.url}/v2/${to}/blobs/${digest}`)).text(), content)
    }
  })
})
