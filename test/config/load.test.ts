// Goal: a configuration either becomes one complete frozen value or is refused with every problem
// and its place. Method: texts in, values or problems out; files only where files are the subject.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { loadConfig, quickStartConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { parse, problemsOf, store } from './parse.ts'

describe('defaults', () => {
  test('a store alone is a whole configuration', () => {
    assert.deepEqual(parse(store), {
      server: {
        bindAddress: '127.0.0.1',
        port: 8000,
        transport: 'auto',
        externalUrl: undefined,
        trustedProxies: [],
        shutdownTimeoutMs: 30_000,
        processes: 1,
        watchConfig: true,
      },
      listeners: [
        { kind: 'tcp', address: '127.0.0.1', port: 8000, tls: false, proxyProtocol: false },
      ],
      tls: undefined,
      limits: {
        handshakeTimeoutMs: 10_000,
        headersTimeoutMs: 15_000,
        stallTimeoutMs: 30_000,
        keepAliveTimeoutMs: 65_000,
        receiveRateMinBytes: 16_384,
        sendRateMinBytes: 4096,
        rateGraceMs: 10_000,
        connectionsMax: 16_384,
        connectionsPerAddressMax: 4096,
        requestsMax: 8192,
        requestsPerAddressMax: 2048,
      },
      headers: {
        hstsMaxAgeMs: 365 * 86_400_000,
        contentSecurityPolicy: "default-src 'none'; frame-ancestors 'none'",
        nosniff: true,
      },
      global: {
        maxManifestSizeBytes: 4 * 1024 ** 2,
        maxBlobSizeBytes: 100 * 1024 ** 3,
        descriptorsMax: 10_000,
        allowMissingManifests: true,
        allowMissingBlobs: false,
        immutableTags: false,
        immutableTagsExclusions: [],
        authorizationWebhook: undefined,
        authorizationOpa: undefined,
        accessPolicy: undefined,
        retentionPolicy: undefined,
        quota: undefined,
        validation: undefined,
      },
      usage: {
        uploadsPerIdentity: 0,
        pullsPerIdentity: 0,
        uploadRatePerIdentityBytes: 0,
        rates: [],
      },
      audit: {
        file: undefined,
        allow: ['put-manifest', 'delete-manifest', 'delete-blob'],
        anonymous: true,
        onFull: 'refuse',
        queueMax: 10_000,
        hashChain: false,
        sync: 'none',
      },
      forwardAuth: undefined,
      redis: undefined,
      repositories: [],
      blobStore: { kind: 'fs', rootDir: '/srv/registry' },
      auth: {
        ...{ identities: [], oidc: [], htpasswd: undefined, tokenService: undefined },
        ...{ ldap: [], webhooks: [], opas: [], gateway: undefined },
      },
      metadataStore: { kind: 'lmdb', path: '/srv/registry/_keelson/metadata' },
      storage: { durability: 'fsync', sharing: 'exclusive', reserveBytes: 1024 ** 3 },
      ingest: {
        workers: 'auto',
        sessionsMax: 1024,
        memoryBudgetBytes: 64 * 1024 ** 2,
        bodyBudgetBytes: 64 * 1024 ** 2,
        slabSizeBytes: 1024 ** 2,
        slabsPerUpload: 4,
        sessionExpiryMs: 86_400_000,
      },
      gc: {
        ...{ graceMs: 86_400_000, restoreWindowMs: 604_800_000, everyMs: 3_600_000 },
        ...{ untagged: 'keep', untaggedAfterMs: 604_800_000, orphanReferrers: 'keep' },
        ...{ blobsPerSecond: 1000, rateBytes: 1024 ** 3, overwrite: false },
      },
      retention: { everyMs: 0, tagsPerSecond: 500, pullTimes: true },
      scrub: { everyMs: 2_592_000_000, rateBytes: 100 * 1024 ** 2 },
      backup: { rateBytes: 200 * 1024 ** 2 },
      peers: [],
      cache: { replyBytes: 64 * 1024 ** 2 },
      log: {
        ...{ level: 'info', format: 'json', access: 'writes', accessSample: 1, mask: undefined },
      },
      health: { probeTimeoutMs: 2000, checkHost: true },
      tracing: undefined,
      admin: { socket: '/srv/registry/_keelson/admin.sock' },
    } satisfies Config)
  })

  test('the configuration is frozen at every depth', () => {
    const config = parse(store)
    assert.ok(Object.isFrozen(config) && Object.isFrozen(config.listeners[0]))
  })

  test('quick start is open on loopback alone and keeps its data in the given folder', () => {
    const config = quickStartConfig('/home/somebody/keelson')
    assert.equal(config.server.bindAddress, '127.0.0.1')
    assert.equal(config.server.port, 8000)
    assert.deepEqual(config.blobStore, { kind: 'fs', rootDir: '/home/somebody/keelson/data' })
    assert.deepEqual(config.global.accessPolicy, { default: 'allow', rules: [] })
  })
})

describe('merging', () => {
  test('tables merge recursively, scalars of a later file win', () => {
    const config = parse(
      `${store}[server]\nport = 1\nbind_address = "0.0.0.0"\n`,
      '[server]\nport = 2\n[log]\nlevel = "warn"\n',
    )
    assert.equal(config.server.port, 2)
    assert.equal(config.server.bindAddress, '0.0.0.0')
    assert.equal(config.log.level, 'warn')
  })

  test('an array of a later file replaces the earlier one whole', () => {
    const config = parse(
      `${store}[global.access_policy]\ndefault = "allow"\nrules = ["true"]\n`,
      '[global.access_policy]\nrules = []\n',
    )
    assert.deepEqual(config.global.accessPolicy, { default: 'allow', rules: [] })
  })

  test('a problem is told with the file that has it', () => {
    assert.deepEqual(problemsOf(`${store}[server]\nport = "x"\n`, '\n[log]\nlevel = "loud"\n'), [
      '0.toml:4: server.port: expected a whole number from 0 to 65535; found "x"',
      '1.toml:3: log.level: expected one of "fatal", "error", "warn", "info", "debug", "trace", "silent"; found "loud"',
    ])
  })

  test('a wrong value that a later file replaces does no harm', () => {
    assert.deepEqual(problemsOf(`${store}[server]\nport = "x"\n`, '[server]\nport = 9\n'), [])
  })
})

describe('refusals', () => {
  test('every problem is told at once, in the order of the lines', () => {
    assert.deepEqual(
      problemsOf(
        [
          'prot = 1',
          '[servr]',
          '[server]',
          'portt = 70000',
          'shutdown_timeout = "30"',
          '"external_url" = "ftp://example.com"',
          '[global]',
          'port = 8',
          'max_manifest_size = "1GiB"',
        ].join('\n'),
      ),
      [
        '0.toml:1: prot: is not a known key: expected one of server, auth, audit, global, blob_store, metadata_store, storage, ingest, cache, admin, gc, retention, scrub, backup, peer, log, health, tracing, redis, limits, repository',
        '0.toml:1: blob_store: is missing: expected one of [blob_store.fs], [blob_store.s3], [blob_store.memory]',
        '0.toml:2: servr: is not a known table: did you mean server?',
        '0.toml:4: server.portt: is not a known key: did you mean server.port?',
        '0.toml:5: server.shutdown_timeout: expected a duration from 0s to 1h, such as "100ms", "30s", "5m", "24h", or a number of seconds; found "30"',
        '0.toml:6: server.external_url: expected an http:// or https:// URL of a host without a path; found "ftp://example.com"',
        '0.toml:8: global.port: is not a known key: did you mean server.port?',
        '0.toml:9: global.max_manifest_size: expected a size from 64KiB to 64MiB, such as "64KiB", "5MiB", "10GB", or a number of bytes; found "1GiB"',
      ],
    )
  })

  for (const [name, text] of [['server.http2', '[server]\nhttp2 = true']] as const) {
    test(`${name} is refused as not supported by this version`, () => {
      const problems = problemsOf(`${store}${text}`)
      assert.equal(problems.length, 1)
      assert.ok(problems[0]?.endsWith(`${name}: is not supported by this version`), problems[0])
    })
  }

  test('whatever is found is named in a few words', () => {
    const text = `${store}[global]
allow_missing_blobs = "yes"
max_descriptors = [1]
max_blob_size = 2026-01-01
max_manifest_size.MiB = 4
[ingest]
workers = 2.5
[gc]
grace = "${'x'.repeat(80)}"
[admin]
socket = ""
[log.level]
[cache]
reply_bytes = nan
`
    const found = problemsOf(`log = 1`, `${text}`, 'storage = 1')
    assert.deepEqual(
      found.map((problem) => problem.replace(/^1\.toml:/, '').replace(/: expected.*; found /, ' ')),
      [
        '4: global.allow_missing_blobs "yes"',
        '5: global.max_descriptors an array',
        '6: global.max_blob_size a date',
        '7: global.max_manifest_size a table',
        '9: ingest.workers 2.5',
        `11: gc.grace "${'x'.repeat(60)}…"`,
        '13: admin.socket ""',
        '14: log.level a table',
        '16: cache.reply_bytes NaN',
        '2.toml:1: storage 1',
      ],
    )
  })

  test('a quoted key with dots does not stand for a table of the schema', () => {
    const [problem] = problemsOf(`"global.access_policy" = { default = "allow" }\n${store}`)
    assert.match(problem ?? '', /1: "global.access_policy": is not a known table/)
  })

  test('__proto__ is an unknown key like any other', () => {
    assert.match(
      problemsOf(`${store}[server]\n__proto__ = 1`)[0] ?? '',
      /4: server.__proto__: is not/,
    )
    assert.match(
      problemsOf(`${store}[__proto__]\nport = 1`)[0] ?? '',
      /3: __proto__: is not a known table/,
    )
  })

  test('a text that is not TOML is refused with its line', () => {
    assert.match(
      problemsOf('[server]\nport = = 1')[0] ?? '',
      /^0\.toml:2: Invalid TOML document: .*\(column \d+\)$/,
    )
  })

  test('a file that is absent or not UTF-8 is refused by name', () => {
    const dir = mkdtempSync(join(tmpdir(), 'keelson-config-'))
    try {
      writeFileSync(join(dir, 'bytes.toml'), Buffer.from([0x61, 0x3d, 0x22, 0xff, 0x22]))
      const absent = join(dir, 'absent.toml')
      assert.throws(() => loadConfig([absent, join(dir, 'bytes.toml')]), {
        name: 'ConfigError',
        message: new RegExp(
          `^${absent}:1: cannot be read: ENOENT.*\n.*bytes.toml:1: expected UTF-8`,
        ),
      })
    } finally {
      rmSync(dir, { recursive: true })
    }
  })
})

describe('stores', () => {
  test('two blob stores are refused', () => {
    assert.deepEqual(problemsOf(`${store}[blob_store.memory]\n`), [
      '0.toml:3: blob_store.memory: expected one store; [blob_store.fs] is given too',
    ])
  })

  test('two metadata stores are refused', () => {
    const text = `${store}[metadata_store.lmdb]\npath = "/m"\n[metadata_store.memory]\n`
    assert.deepEqual(problemsOf(text), [
      '0.toml:5: metadata_store.memory: expected one store; [metadata_store.lmdb] is given too',
    ])
  })

  test('a memory blob store needs to be told where the metadata goes', () => {
    assert.deepEqual(problemsOf('[blob_store.memory]'), [
      '0.toml:1: metadata_store.lmdb.path: is missing: with [blob_store.memory] expected a path or [metadata_store.memory]',
    ])
    const config = parse('[blob_store.memory]\n[metadata_store.memory]')
    assert.deepEqual([config.blobStore.kind, config.metadataStore.kind], ['memory', 'memory'])
    assert.equal(config.admin.socket, undefined)
  })

  test('root_dir must be given', () => {
    assert.deepEqual(problemsOf('[blob_store.fs]'), [
      '0.toml:1: blob_store.fs.root_dir: is missing: expected a path',
    ])
  })

  test('relative paths are relative to the folder of the file that has them', () => {
    const dir = mkdtempSync(join(tmpdir(), 'keelson-config-'))
    try {
      mkdirSync(join(dir, 'more'))
      writeFileSync(join(dir, 'a.toml'), '[blob_store.fs]\nroot_dir = "data"\n')
      writeFileSync(join(dir, 'more/b.toml'), '[metadata_store.lmdb]\npath = "meta"\n')
      const config = loadConfig([join(dir, 'a.toml'), join(dir, 'more/b.toml')])
      assert.deepEqual(config.blobStore, { kind: 'fs', rootDir: join(dir, 'data') })
      assert.deepEqual(config.metadataStore, { kind: 'lmdb', path: join(dir, 'more/meta') })
    } finally {
      rmSync(dir, { recursive: true })
    }
  })

  test('an admin socket that the system could not bind is refused', () => {
    const [problem] = problemsOf(`[blob_store.fs]\nroot_dir = "/${'d'.repeat(100)}"\n`)
    assert.match(problem ?? '', /admin\.socket: expected a path of at most 107 bytes; found 121/)
  })

  test('a socket too far from the root is reached from the current folder', () => {
    const near = `${'d'.repeat(86)}/${'s'.repeat(20)}`
    const socket = JSON.stringify(join(process.cwd(), near))
    assert.equal(parse(`${store}[admin]\nsocket = ${socket}`).admin.socket, near)
  })

  test('an upload may not hold more than the whole budget', () => {
    const text = `${store}[ingest]\nslab_size = "4MiB"\nslabs_per_upload = 64\n`
    assert.deepEqual(problemsOf(text), [
      '0.toml:3: ingest.memory_budget: expected at least slab_size × slabs_per_upload, 256MiB; found 64MiB',
    ])
  })

  test('the largest manifest must fit into the budget for bodies', () => {
    const text = `${store}[global]\nmax_manifest_size = "8MiB"\n[ingest]\nbody_budget = "8191KiB"\n`
    assert.deepEqual(problemsOf(text), [
      '0.toml:6: ingest.body_budget: expected at least global.max_manifest_size, 8MiB; found 8191KiB',
    ])
    assert.equal(parse(text.replace('8191KiB', '8MiB')).ingest.bodyBudgetBytes, 8 * 1024 ** 2)
  })
})
