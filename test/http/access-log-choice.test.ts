// Goal: only the requests that are asked for get a line, with what may be shown; a log that nobody reads
// holds no reply up. Method: servers with each choice, one under limits, one whose output is not read.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { RawConnection } from '../support/raw-http.ts'
import { digestOf } from '../support/registry-client.ts'
import { productCommand } from '../support/server.ts'
import { until } from '../support/until.ts'
import { AccessScene, head, sumOf } from './access-log-scene.ts'
import { adminCall, type Product, poll, useProduct } from './product.ts'

const blob = Buffer.from('{}')
const push = `/v2/team/app/blobs/uploads/?digest=${digestOf(blob)}`
const pull = `/v2/team/app/blobs/${digestOf(blob)}`

/** One of each kind; the actions that have a line, once all that will come are there. */
async function toldOf(product: Product): Promise<readonly unknown[]> {
  const scene = new AccessScene(() => product.server)
  const client = await scene.open()
  const ask = async (method: string, target: string, body?: Buffer): Promise<void> => {
    client.write(head(method, target, scene.agent(), body && { body }), body ?? '')
    await client.reply({ isHead: method === 'HEAD' })
  }
  await ask('POST', push, blob)
  await ask('GET', pull)
  await ask('HEAD', pull)
  await ask('GET', '/v2/team/app/manifests/none')
  await ask('GET', '/v2/')
  await ask('DELETE', pull)
  client.close()
  // Lines come in the order of their requests, and this one in any case but with `none`.
  await ask404(product)
  return scene.lines().map(({ action, status }) => `${action} ${status}`)
}

async function ask404(product: Product): Promise<void> {
  const answer = await product.client.get('/last')
  assert.equal(answer.status, 404)
  const isTold = (): boolean => product.server.log.some((line) => line.includes('"/last"'))
  await poll('its line or its figure', async () => {
    const page = (await product.admin('/metrics')).body
    return isTold() || sumOf(page, 'keelson_access_log_lines_total') === 0 || undefined
  })
}

const failed = ['get-manifest 404', 'undefined 404']
const writes = ['start-upload 201', 'get-manifest 404', 'delete-blob 202', 'undefined 404']

for (const [choice, expected] of [
  ['access = "none"', []],
  ['access = "failed"', failed],
  ['', writes],
  ['access = "writes"', writes],
  ['access = "all"\naccess_sample = 1000', writes],
] as const) {
  describe(`access log, ${choice === '' ? 'by default' : choice}`, () => {
    const product = useProduct({ toml: `[log]\n${choice}\n` })

    test('tells of the requests that were asked for, and of no other', async () => {
      assert.deepEqual(await toldOf(product), expected)
    })

    test('an error shows an id only where the log has it', async () => {
      const { headers } = await product.client.get('/nowhere')
      assert.equal(headers['x-request-id'] !== undefined, expected.length > 0)
    })
  })
}

describe('access log, a sample', () => {
  const product = useProduct({ toml: '[log]\naccess = "all"\naccess_sample = 5\n' })

  test('of the reads that went well one in so many has its line', async () => {
    const scene = new AccessScene(() => product.server)
    const client = await scene.open()
    for (let i = 0; i < 50; i++) {
      client.write(head('GET', '/v2/', scene.agent()))
      assert.equal((await client.reply()).status, 200)
    }
    client.close()
    await ask404(product)
    assert.equal(scene.lines().filter(({ status }) => status === 200).length, 10)
  })
})

describe('access log, masked', () => {
  const mask = '["address", "reference", "repository", "user_agent"]'
  const product = useProduct({ toml: `[log]\naccess = "all"\nmask = ${mask}\n` })

  test('what is masked stands nowhere in the log', async () => {
    const headers = { 'user-agent': 'some-agent' }
    for (const path of ['/v2/hidden/name/manifests/hidden-tag', '/v2/hidden/%00']) {
      assert.equal((await product.client.get(path, headers)).status, 404)
    }
    const lines = (): readonly string[] =>
      product.server.log.filter((line) => line.includes('"msg":"request"'))
    await until('both lines', () => lines().length >= 2)
    for (const line of lines()) {
      assert.doesNotMatch(line, /hidden|some-agent|127\.0\.0\.1/)
      const { address, userAgent, repository = '***', path = '***' } = JSON.parse(line)
      assert.deepEqual([address, userAgent, repository, path], ['***', '***', '***', '***'])
    }
  })
})

for (const transport of ['auto', 'node']) {
  describe(`access log under limits, ${transport}`, () => {
    const limits = '[server.limits]\nrequests_max = 1\n'
    const product = useProduct({ toml: `[server]\ntransport = "${transport}"\n${limits}` })

    test('a request beyond a limit is told of', async () => {
      const scene = new AccessScene(() => product.server)
      const start = await product.client.startUpload('busy')
      const busy = await scene.open()
      busy.write(
        head('PATCH', start, scene.agent(), { headers: { 'Content-Length': '9' } }),
        'half',
      )
      await product.untilStatus('an upload', ({ ingest }) => ingest.receiving > 0)
      const { reply, line } = await scene.ask('GET', '/v2/')
      assert.equal(reply.status, 503)
      const { method, path, status, requestId } = line
      assert.deepEqual([method, path, status], ['GET', '/v2/', 503])
      assert.equal(requestId, reply.headers['x-request-id'])
      busy.reset()
      await product.untilStatus('no upload', ({ ingest }) => ingest.receiving === 0)
      const page = (await product.admin('/metrics')).body
      assert.equal(sumOf(page, 'keelson_http_requests_total', 'status="503"'), 1)
    })
  })
}

test('a log that nobody reads holds no reply up, and what it lost is counted', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'keelson-unread-'))
  const file = join(folder, 'keelson.toml')
  await writeFile(
    file,
    `[server]\nbind_address = "127.0.0.1"\nport = 0\n[log]\naccess = "all"\n[blob_store.fs]\nroot_dir = "${folder}/data"\n[global.access_policy]\ndefault = "allow"\n`,
  )
  const [command = '', ...args] = productCommand()
  const child = spawn(command, [...args, '-c', file, 'server'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    let read = ''
    const onData = (chunk: Buffer): void => {
      read += chunk.toString()
    }
    child.stdout.on('data', onData)
    await until('it serves', () => read.includes('"msg":"serving"'))
    // From here on nobody reads.
    child.stdout.off('data', onData).pause()
    const port = Number(/"port":(\d+)/.exec(read)?.[1])
    const client = await RawConnection.open(port)
    const request = head('GET', '/v2/', 'u'.repeat(250))
    const perTurn = 500
    let answered = 0
    const page = await poll(
      'lost lines',
      async () => {
        client.write(request.repeat(perTurn))
        for (let i = 0; i < perTurn; i++) assert.equal((await client.reply()).status, 200)
        answered += perTurn
        const { body } = await adminCall(join(folder, 'data', '_keelson', 'admin.sock'), '/metrics')
        return sumOf(body, 'keelson_log_lines_dropped_total') > 0 ? body : undefined
      },
      60_000,
    )
    client.close()
    const told =
      sumOf(page, 'keelson_access_log_lines_total') +
      sumOf(page, 'keelson_access_log_dropped_total')
    assert.ok(answered - told <= perTurn)
    assert.equal(sumOf(page, 'keelson_http_requests_total'), answered)
  } finally {
    child.stdout.resume()
    child.kill('SIGTERM')
    await once(child, 'exit')
    await rm(folder, { recursive: true, force: true })
  }
})
