// Goal: what docs/gateway.md tells operators to write works. Method: load its TOML, and let a real nginx
// with its configuration stand in front of a server, with addresses and files of the test's own.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { parseIn, store } from '../config/parse.ts'
import { type Nginx, startNginx } from '../support/nginx.ts'
import { blockOf, replaced } from '../support/page.ts'
import { type Server, startServer } from '../support/server.ts'
import { needs } from '../support/tools.ts'

const page = readFileSync('docs/gateway.md', 'utf8')
const secret = 'the secret of the gateway'

describe('the gateway page', needs('nginx'), () => {
  let folder = ''
  let server: Server
  let nginx: Nginx

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keelson-gateway-'))
    await writeFile(join(folder, 'gateway-secret'), secret, { mode: 0o600 })
    const toml = blockOf(page, 'toml')
    parseIn({ CREDENTIALS_DIRECTORY: folder }, store, toml)
    server = await startServer({
      base: `[server]\nport = 0\n${store.replace('/srv/registry', join(folder, 'data'))}`,
      toml: replaced(toml, { '10.1.0.7': '127.0.0.1' }),
      env: { CREDENTIALS_DIRECTORY: folder },
    })
    nginx = await startGateway(folder, server.port)
  })
  after(async () => {
    await nginx?.stop()
    await server?.stop()
    await rm(folder, { recursive: true, force: true })
  })

  async function ask(login: string | undefined, lines: readonly string[] = []): Promise<number> {
    const client = await nginx.open()
    const credential = Buffer.from(login ?? '').toString('base64')
    const authorization = login === undefined ? [] : [`Authorization: Basic ${credential}`]
    const head = ['GET /v2/app/manifests/v1 HTTP/1.1', 'Host: registry.test', ...authorization]
    client.write(`${[...head, ...lines].join('\r\n')}\r\n\r\n`)
    const { status } = await client.reply()
    client.close()
    return status
  }

  test('lets in whom nginx has logged in, and nobody else', async () => {
    assert.equal(await ask('ann:tuesday'), 404)
    assert.equal(await ask('ann:wednesday'), 401)
    assert.equal(await ask(undefined), 401)
  })

  test('lets no client name itself, its groups or the secret', async () => {
    const forged = [
      'X-Forwarded-User: root',
      'X-Forwarded-User: ann',
      `X-Gateway-Secret: ${secret}`,
    ]
    assert.equal(await ask(undefined, forged), 401)
    assert.equal(await ask('ann:tuesday', [...forged, 'X-Forwarded-Groups: release-managers']), 404)
    const users = server.log.flatMap((line) => /"username":"([^"]*)"/.exec(line)?.[1] ?? [])
    assert.deepEqual([...new Set(users)], ['ann'])
  })
})

async function startGateway(folder: string, port: number): Promise<Nginx> {
  await writeFile(join(folder, 'users'), 'ann:{PLAIN}tuesday\n')
  await writeFile(join(folder, 'secret.conf'), `proxy_set_header X-Gateway-Secret "${secret}";\n`)
  return startNginx(folder, (socket) =>
    replaced(blockOf(page, 'nginx'), {
      '10.1.0.20:8000': `127.0.0.1:${port}`,
      'listen 443 ssl': `listen unix:${socket}`,
      'ssl_certificate /etc/nginx/registry.pem;': '',
      'ssl_certificate_key /etc/nginx/registry.key;': '',
      '/etc/nginx/registry-users': join(folder, 'users'),
      '/etc/nginx/registry-secret.conf': join(folder, 'secret.conf'),
    }),
  )
}
