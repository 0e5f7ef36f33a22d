// Goal: the token commands say what the server did, and what is wrong when it did nothing. Method: the
// commands against a socket that answers as the test says.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type Ran, runCommand } from '../support/command-line.ts'

const folder = mkdtempSync(join(tmpdir(), 'keelson-token-'))
const socket = join(folder, 'admin.sock')
after(() => rmSync(folder, { recursive: true }))

function run(...args: readonly string[]): Promise<Ran> {
  return runCommand(args, folder)
}

describe('with a server', () => {
  const asked: unknown[] = []
  let answer: { readonly status: number; readonly body: unknown } = { status: 200, body: {} }
  let server: Server
  before(async () => {
    writeFileSync(
      join(folder, 'config.toml'),
      `[blob_store.memory]\n[metadata_store.memory]\n[admin]\nsocket = ${JSON.stringify(socket)}\n`,
    )
    server = createServer(async (request, response) => {
      let text = ''
      for await (const chunk of request.setEncoding('utf8')) text += chunk
      asked.push([request.method, request.url, text === '' ? undefined : JSON.parse(text)])
      response.writeHead(answer.status).end(JSON.stringify(answer.body))
    })
    await new Promise<void>((resolve) => server.listen(socket, resolve))
  })
  after(() => {
    server.close()
    server.closeAllConnections()
  })

  async function asks(status: number, body: unknown, ...args: readonly string[]) {
    answer = { status, body }
    const ran = await run('-c', join(folder, 'config.toml'), ...args)
    return { ...ran, asked: asked.splice(0) }
  }

  test('create sends every scope, and prints the key alone', async () => {
    const scopes = ['repository:team/*:pull,push', 'repository:base:pull']
    const ran = await asks(
      200,
      { id: 'abc', key: 'keelson_x', expiresAt: '2030-01-01T00:00:00.000Z' },
      ...['token', 'create', '--name', 'ci', '--scope', scopes[0] ?? '', '--scope'],
      ...[scopes[1] ?? '', '--ttl', '12h', '--user', 'build'],
    )
    assert.deepEqual(ran.asked, [
      ['POST', '/tokens/create', { name: 'ci', scopes, ttlMs: 43_200_000, username: 'build' }],
    ])
    assert.deepEqual([ran.code, ran.out], [0, 'keelson_x\n'])
    assert.match(ran.err, /abc.*2030-01-01/)
  })

  test('create lasts 90 days where nothing else is said', async () => {
    const scope = ['--scope', 'repository:a:pull']
    const ran = await asks(200, {}, 'token', 'create', '--name', 'ci', ...scope)
    const ttlMs = 90 * 24 * 60 * 60_000
    const input = { name: 'ci', scopes: ['repository:a:pull'], ttlMs }
    assert.deepEqual(ran.asked, [['POST', '/tokens/create', input]])
  })

  test('list prints a table, or JSON', async () => {
    const key = {
      ...{ id: '0123456789abcdef', name: 'ci', username: null, state: 'good' },
      ...{ scopes: ['repository:a:pull', 'registry:catalog:*'], expiresAt: '2030-01-01' },
    }
    const body = { apiKeys: [key], refreshTokens: [{ ...key, username: 'build' }] }
    const shown = await asks(200, body, 'token', 'list')
    assert.deepEqual(shown.asked, [['GET', '/tokens', undefined]])
    assert.match(
      shown.out,
      /^0123456789abcdef +good +ci +- +2030-01-01 +repository:a:pull registry:catalog:\*$/m,
    )
    assert.match(shown.out, /^0123456789abcdef +build +2030-01-01$/m)
    const json = await asks(200, body, 'token', 'list', '--json')
    assert.deepEqual(JSON.parse(json.out), body)
  })

  test('revoke takes an id, or a user', async () => {
    const one = await asks(200, { revoked: 'api-key' }, 'token', 'revoke', 'abc')
    assert.deepEqual(one.asked, [['POST', '/tokens/revoke', { id: 'abc' }]])
    assert.equal(one.out, 'revoked api-key abc\n')
    const counts = { revoked: 'user', apiKeys: 2, refreshTokens: 3 }
    const all = await asks(200, counts, 'token', 'revoke', '--user', 'gitlab:alice')
    assert.deepEqual(all.asked, [['POST', '/tokens/revoke', { username: 'gitlab:alice' }]])
    assert.match(all.out, /2 API keys, 3 refresh tokens/)
  })

  test('a refusal is told in the words of the server', async () => {
    const told = await asks(409, { error: 'the name is taken' }, 'token', 'revoke', 'abc')
    assert.deepEqual([told.code, told.err], [1, 'keelson: the name is taken\n'])
    const odd = await asks(503, 'no object', 'token', 'list')
    assert.deepEqual([odd.code, odd.err], [1, 'keelson: the server answered 503\n'])
  })
})

test('without a server, it is said that there is none', async () => {
  writeFileSync(
    join(folder, 'alone.toml'),
    `[blob_store.memory]\n[metadata_store.memory]\n[admin]\nsocket = ${JSON.stringify(`${socket}2`)}\n`,
  )
  const { code, err } = await run('-c', join(folder, 'alone.toml'), 'token', 'list')
  assert.equal(code, 1)
  assert.match(err, /no server answers on .*: start it first/)
})

describe('a command line that says too little or too much is refused', () => {
  for (const [line, message] of [
    ['token create --scope repository:a:pull', 'token create needs --name'],
    ['token create --name ci', 'token create needs --scope'],
    ['token create --name ci --scope a --ttl soon', '--ttl: expected a duration such as 1h'],
    ['token create --name ci --name other --scope a', '--name can be given only once'],
    ['token revoke', 'token revoke needs an id or --user'],
    ['token revoke abc --user ci', 'token revoke needs an id or --user'],
    ['token revoke abc def', "token revoke takes no argument 'def'"],
    ['token list abc', "token list takes no argument 'abc'"],
    ['token', "'token' is one of: 'token create', 'token list', 'token revoke'"],
  ] as const) {
    test(line, async () => {
      const { code, err } = await run(...line.split(' '))
      assert.equal(code, 2)
      assert.ok(err.startsWith(`keelson: ${message}\n`), err)
    })
  }
})
