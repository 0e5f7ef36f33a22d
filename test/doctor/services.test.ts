// Goal: a service that works is told from one that does not, whatever it does, in bounded time. Method:
// services under control to the byte; a real Redis; a real identity provider.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { parseConfig } from '../../src/config/load.ts'
import { checkServices } from '../../src/doctor/check/services.ts'
import { askServices } from '../../src/doctor/probe/services.ts'
import {
  type IdentityProvider,
  introspectionClient,
  startIdentityProvider,
} from '../support/identity-provider.ts'
import { needsPostgres, PostgresServer } from '../support/postgres.ts'
import { needsRedis, RedisServer } from '../support/redis.ts'
import {
  openRudeService,
  type RudeAnswer,
  type RudeService,
  rudeManners,
} from '../support/rude-service.ts'
import { usePki } from '../support/tls-server.ts'
import { said } from './said.ts'

const store = '[blob_store.memory]\n[metadata_store.memory]\n'

function storesOf(tables: string): string {
  return tables.includes('[metadata_store.') ? '[blob_store.memory]\n' : store
}

async function says(tables: string): Promise<string> {
  const config = parseConfig(
    [{ file: '/etc/keelson/config.toml', text: storesOf(tables) + tables }],
    {},
  )
  const { services } = await askServices(config)
  return said(checkServices(services)).join('\n')
}

/** One service of each kind that speaks HTTP; its answer when it is well. */
const kinds: ReadonlyArray<
  readonly [kind: string, well: RudeAnswer, tables: (url: string) => string, line: RegExp]
> = [
  [
    'webhook',
    { status: 204 },
    (url) =>
      `[auth.webhook.scan]\nurl = "${url}/ask"\nbearer_token = "planted"\ntimeout = "300ms"\n`,
    /^ok webhook scan: .*\/ask answers, and allows GET \/v2\/ without a login in \d+ ms$/,
  ],
  [
    'opa',
    { status: 200, body: '{"result":{"allow":false,"reason":"no"}}' },
    (url) =>
      `[auth.opa.main]\nurl = "${url}"\npath = "keelson/allow"\nbearer_token = "planted"\ntimeout = "300ms"\n`,
    /^ok OPA main: .* answers, and denies GET \/v2\/ without a login in \d+ ms$/,
  ],
  [
    'tracing',
    { status: 200, body: '{}' },
    (url) =>
      `[tracing]\nendpoint = "${url}/v1/traces"\nbearer_token = "planted"\ntimeout = "300ms"\n`,
    /^ok collector of traces: .*\/v1\/traces takes an empty batch in \d+ ms$/,
  ],
  [
    'peer',
    { status: 404 },
    (url) =>
      `[peer.east]\nurl = "${url}"\nusername = "keelson"\npassword = "planted"\ntimeout = "300ms"\n`,
    /^ok other registry east: .* answers keelson in \d+ ms$/,
  ],
  [
    'oidc',
    { status: 200, body: '{"keys":[]}' },
    (url) =>
      `[auth.oidc.idp]\nissuer = "${url}"\njwks_uri = "${url}/jwks"\nhttp_timeout = "300ms"\n`,
    /^error provider of tokens idp: .*: none of its keys can be used$/,
  ],
]

for (const [kind, well, tables, line] of kinds) {
  describe(`a ${kind}`, () => {
    let service: RudeService
    before(async () => {
      service = await openRudeService(well)
    })
    after(() => service.close())

    test('is asked, and its answer is told', async () => {
      assert.match(await says(tables(service.url)), line)
    })

    test('that is rude is a finding, in time, whatever it does', async () => {
      for (const manner of rudeManners) {
        service.behave(manner)
        const startMs = performance.now()
        const findings = await says(tables(service.url))
        // Its own time is 0.3 s; the rest is for a machine that has much else to do.
        assert.ok(performance.now() - startMs < 7000, manner)
        assert.doesNotMatch(findings, /planted/)
        // The answer of a webhook, and of a registry that has nothing there, is its status, so a body that goes
        // wrong is not always seen.
        if (!['webhook', 'peer'].includes(kind)) assert.match(findings, /^(error|warning) /, manner)
      }
      service.behave({ status: 418 })
      assert.match(await says(tables(service.url)), /^(error|warning) .*418/)
      await service.stop()
      assert.match(await says(tables(service.url)), /^(error|warning) .*ECONNREFUSED/)
    })
  })
}

test('a webhook that denies works', async () => {
  const service = await openRudeService({ status: 403 })
  try {
    const tables = `[auth.webhook.a]\nurl = "${service.url}/"\n`
    assert.match(await says(tables), /^ok webhook a: .* answers, and denies/)
  } finally {
    await service.close()
  }
})

test('a file of a service that cannot be read is told as what is wrong with it', async () => {
  const tables =
    '[auth.webhook.a]\nurl = "https://127.0.0.1:1/"\nserver_ca_bundle = "/nowhere/ca.pem"\n'
  assert.match(await says(tables), /^error webhook a: .*auth\.webhook\.a\.server_ca_bundle/)
})

test('all are asked at once', async () => {
  const services = await Promise.all([1, 2, 3].map(() => openRudeService({ status: 204 })))
  for (const service of services) service.behave('never answers')
  const tables = services.map(
    ({ url }, index) => `[auth.webhook.w${index}]\nurl = "${url}/"\ntimeout = "500ms"\n`,
  )
  const asking = says(tables.join(''))
  try {
    const findings = (await asking).split('\n')
    assert.equal(findings.filter((line) => line.startsWith('error webhook')).length, 3)
    // Each had its question before the first of them was given up.
    assert.deepEqual(
      services.map(({ requests }) => requests.length),
      [1, 1, 1],
    )
  } finally {
    await Promise.all(services.map((service) => service.close()))
  }
})

describe('a real provider of tokens', () => {
  const scene = usePki()
  let provider: IdentityProvider
  before(async () => {
    provider = await startIdentityProvider(scene.pki)
  })
  after(() => provider?.close())

  const table = (more = ''): string =>
    `[auth.oidc.idp]\nissuer = "${provider.issuer}"\nrequired_audience = ["a"]\nserver_ca_bundle = "${provider.caFile}"\n${more}`

  test('gives its keys', async () => {
    assert.match(await says(table()), /^ok provider of tokens idp: .* gives 1 keys? in \d+ ms$/)
  })

  test('answers about tokens, or is found not to', async () => {
    const asks = (secret: string): string =>
      table(
        `introspection_url = "${provider.introspectionUrl}"\nintrospection_client_id = ${JSON.stringify(introspectionClient.id)}\nintrospection_client_secret = ${JSON.stringify(secret)}\n`,
      )
    // This one knows no token but those that it was told were revoked.
    const credulous = await says(asks(introspectionClient.secret))
    assert.match(credulous, /^error .*says that a token counts which nobody made$/)
    provider.revoke('keelson-doctor')
    assert.match(await says(asks(introspectionClient.secret)), /^ok .*and answers about tokens/)
    const wrong = await says(asks('planted'))
    assert.match(wrong, /^error provider of tokens idp: .*answers 401$/)
    assert.doesNotMatch(wrong, /planted/)
  })

  test('is believed only under its CA and its own name', async () => {
    const without = table().replace(/server_ca_bundle.*\n/, '')
    assert.match(await says(without), /^error provider of tokens idp: .*certificate/)
    const other = table().replace(/issuer = ".*"/, `issuer = "${provider.issuer}/other"`)
    assert.match(await says(other), /^error provider of tokens idp: /)
  })
})

describe('a real PostgreSQL', needsPostgres, () => {
  let server: PostgresServer
  before(async () => {
    server = await PostgresServer.start()
  })
  after(() => server?.stop())

  test('answers as it is set, and whom it knows', async () => {
    const { database, host } = await server.database()
    const table = (more: string): string =>
      `[metadata_store.postgres]\nhost = "${host}"\nusername = "keelson"\n${more}`
    const known = await says(table(`database = "${database}"\n`))
    assert.match(known, /^ok PostgreSQL: .* answers, PostgreSQL \d+.* in \d+ ms/)
    // The tests' own server syncs nothing.
    assert.match(known, /^warning PostgreSQL: fsync is off: a power loss/m)
    assert.match(await says(table('database = "absent"\n')), /^error PostgreSQL: .*does not exist/)
    const latin = "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
    await server.query('postgres', latin)
    assert.match(await says(table('database = "latin"\n')), /^error PostgreSQL: .*LATIN1, not UTF8/)
    const away = table('database = "keelson"\n').replace(host, '127.0.0.1')
    const plain = `${away}port = 1\nsslmode = "disable"\npassword = "planted-password"\n`
    const told = await says(plain)
    assert.match(told, /^error PostgreSQL: .*ECONNREFUSED/)
    assert.doesNotMatch(told, /planted/)
  })
})

describe('a real Redis', needsRedis, () => {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-doctor-redis-'))
  let redis: RedisServer
  before(async () => {
    mkdirSync(join(folder, 'data'))
    const limited = ['--user', 'limited', 'on', '>planted-password', '~other:*', '+@all']
    const args = ['--requirepass', 'planted-password', ...limited]
    redis = await RedisServer.start({ dir: join(folder, 'data'), args })
  })
  after(async () => {
    await redis?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  test('answers whom it knows, and nobody else', async () => {
    const table = (more: string): string => `[redis]\nurl = "${redis.url}"\ntimeout = "1s"\n${more}`
    assert.match(await says(table('password = "planted-password"\n')), /^ok Redis: .* answers in/)
    const wrong = await says(table('password = "planted-wrong"\n'))
    assert.match(wrong, /^warning Redis: .*WRONGPASS/)
    assert.match(await says(table('')), /^warning Redis: .*NOAUTH/)
    assert.doesNotMatch(wrong, /planted/)
    const limited = 'username = "limited"\npassword = "planted-password"\n'
    assert.match(await says(table(limited)), /^warning Redis: .*NOPERM/)
  })

  test('that is away is told, in time', async () => {
    const table = '[redis]\nurl = "redis://127.0.0.1:1"\ntimeout = "300ms"\n'
    assert.match(await says(table), /^warning Redis: .*ECONNREFUSED/)
    const silent = await openRudeService({ status: 200 })
    try {
      const slow = table.replace(':1"', `:${new URL(silent.url).port}"`)
      assert.match(await says(slow), /^warning Redis: /)
    } finally {
      await silent.close()
    }
  })
})
