// Goal: a bucket is refused where it could not work, or would be spoken to in clear. Method: each fault alone.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ConfigError } from '../../src/config/problem.ts'
import { parse } from './parse.ts'

const base = (own: string, more = '[metadata_store.lmdb]\npath = "/srv/meta"\n'): string =>
  `[blob_store.s3]\nbucket = "blobs"\n${own}${more}[global.access_policy]\ndefault = "deny"\n`

const customerKey = `sse_customer_key = "${Buffer.alloc(32, 'key').toString('base64')}"\n`

describe('a bucket', () => {
  test('it needs a name, and has defaults for the rest', () => {
    const { admin, blobStore, storage } = parse(base(''))
    assert.equal(blobStore.kind, 's3')
    const { kind: _, ...given } = blobStore
    assert.deepEqual(
      Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
      {
        ...{ bucket: 'blobs', region: 'us-east-1', prefix: '', pathStyle: false },
        ...{ partSizeBytes: 8 << 20, attemptTimeoutMs: 30_000 },
        ...{ attemptsMax: 4, connectionsMax: 256, breakerFailures: 10, breakerCooldownMs: 3000 },
        equalParts: false,
        ...{ redirect: false, redirectExpiryMs: 300_000, redirectMinSizeBytes: 1 << 20 },
        ...{ redirectRanges: false, redirectNetworks: ['0.0.0.0/0', '::/0'] },
      },
    )
    assert.equal(admin.socket, undefined)
    assert.equal(storage.sharing, 'exclusive')
  })

  const refused: readonly (readonly [what: string, toml: string, pattern: RegExp])[] = [
    ['a bucket in clear', base('endpoint = "http://s3.test"\n'), /endpoint: expected an https/],
    [
      'a short name',
      base('').replace(/^bucket = .*$/m, 'bucket = "b"'),
      /bucket: expected printable ASCII text of 3 characters or more; found "b"/,
    ],
    ['a path', base('endpoint = "https://s3.test/x"\n'), /endpoint: expected https:\/\/HOST/],
    [
      'another place in clear for clients',
      base('redirect_endpoint = "http://s3.test"\n'),
      /redirect_endpoint: expected an https/,
    ],
    [
      'a path for clients',
      base('redirect_endpoint = "https://s3.test/x"\n'),
      /redirect_endpoint: expected https:\/\/HOST/,
    ],
    [
      'a key of nobody',
      base('sse = "AES256"\nsse_kms_key_id = "a"\n'),
      /sse_kms_key_id: expected it with sse = "aws:kms" alone/,
    ],
    [
      'a short customer key',
      base('sse_customer_key = "c2hvcnQ="\n'),
      /sse_customer_key: expected 32 bytes in base64/,
    ],
    [
      'a customer key beside another encryption',
      base(`sse = "AES256"\n${customerKey}`),
      /sse_customer_key: expected it or sse/,
    ],
    [
      'a customer key that clients would need',
      base(`redirect = true\n${customerKey}`),
      /redirect: expected false with sse_customer_key/,
    ],
    ['one key of two', base('access_key_id = "a"\n'), /expected both access_key_id and secret/],
    [
      'a token alone',
      base('session_token = "a"\n'),
      /session_token: expected it with access_key_id/,
    ],
    ['a small part', base('part_size = "1MiB"\n'), /part_size: expected a size from 5MiB/],
    [
      'a small budget',
      base('part_size = "64MiB"\npart_budget = "128MiB"\n'),
      /part_budget: expected at least 4 × part_size/,
    ],
    [
      'no bucket',
      base('').replace('"blobs"', '"No Bucket"'),
      /bucket: expected 3 to 63 lower-case/,
    ],
    ['a way up', base('prefix = "a/../b"\n'), /prefix: expected names with single slashes/],
    [
      'no metadata',
      base('', ''),
      /with \[blob_store\.s3\] expected a path or \[metadata_store\.post/,
    ],
    [
      'overwriting',
      base('', '[gc]\noverwrite = true\n[metadata_store.memory]\n'),
      /gc\.overwrite: /,
    ],
    ['two stores', base('', '[blob_store.memory]\n'), /expected one store/],
  ]
  for (const [what, toml, pattern] of refused) {
    test(`${what} is refused`, () => {
      assert.throws(
        () => parse(toml),
        (error) => error instanceof ConfigError && pattern.test(error.message),
      )
    })
  }

  test('in clear on loopback, and with keys of the environment, it is taken', () => {
    const { blobStore } = parse(base('endpoint = "http://127.0.0.1:7070"\npath_style = true\n'))
    assert.equal(blobStore.kind === 's3' && blobStore.pathStyle, true)
  })
})
