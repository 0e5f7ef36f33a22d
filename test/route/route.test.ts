// Goal: every target becomes the right action or the right refusal. Method: a table, no server.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OciError } from '../../src/oci/error.ts'
import { RouteMemo } from '../../src/route/memo.ts'
import { route } from '../../src/route/route.ts'

const sha256 = `sha256:${'a'.repeat(64)}`
const sha512 = `sha512:${'b'.repeat(128)}`
const upload = '0f8fad5b-d9cb-469f-a165-70867728950e'

function ask(line: string): unknown {
  const [method = '', target = ''] = line.split(' ')
  const [path = '', query = ''] = target.split('?')
  return route({ method, path, query })
}

const accepted: ReadonlyArray<readonly [string, unknown]> = [
  ['GET /v2/', { kind: 'get-api-version', head: false }],
  ['HEAD /v2', { kind: 'get-api-version', head: true }],
  ['GET /metrics', { kind: 'metrics', head: false }],
  ['HEAD /healthz?x=1', { kind: 'healthz', head: true }],
  ['GET /readyz', { kind: 'readyz', head: false }],
  ['GET /v2/_catalog?n=5&last=a', { kind: 'list-catalog', page: { limit: 5, last: 'a' } }],
  ['GET /v2/a/b/tags/list', { kind: 'list-tags', repository: 'a/b', page: {} }],
  ['GET /v2/a/tags/list?n=0', { kind: 'list-tags', repository: 'a', page: { limit: 0 } }],
  [
    'GET /v2/a/manifests/v1',
    { kind: 'get-manifest', repository: 'a', reference: { kind: 'tag', tag: 'v1' }, head: false },
  ],
  [
    `HEAD /v2/manifests/blobs/manifests/${sha512}`,
    {
      kind: 'get-manifest',
      repository: 'manifests/blobs',
      reference: { kind: 'digest', digest: sha512 },
      head: true,
    },
  ],
  [
    `GET /v2/a/manifests/sha256%3A${'a'.repeat(64)}`,
    {
      kind: 'get-manifest',
      repository: 'a',
      reference: { kind: 'digest', digest: sha256 },
      head: false,
    },
  ],
  [
    'PUT /v2/a/manifests/v1',
    { kind: 'put-manifest', repository: 'a', reference: { kind: 'tag', tag: 'v1' }, tags: ['v1'] },
  ],
  [
    `PUT /v2/a/manifests/${sha256}?tag=x&tag=y&tag=x`,
    {
      kind: 'put-manifest',
      repository: 'a',
      reference: { kind: 'digest', digest: sha256 },
      tags: ['x', 'y'],
    },
  ],
  [
    'DELETE /v2/a/manifests/v1',
    { kind: 'delete-manifest', repository: 'a', reference: { kind: 'tag', tag: 'v1' } },
  ],
  [`GET /v2/a/blobs/${sha256}`, { kind: 'get-blob', repository: 'a', digest: sha256, head: false }],
  [`HEAD /v2/a/blobs/${sha256}`, { kind: 'get-blob', repository: 'a', digest: sha256, head: true }],
  [`DELETE /v2/a/blobs/${sha256}`, { kind: 'delete-blob', repository: 'a', digest: sha256 }],
  ['POST /v2/a/blobs/uploads/', { kind: 'start-upload', repository: 'a', algorithm: 'sha256' }],
  [
    'POST /v2/a/blobs/uploads?digest-algorithm=sha512',
    { kind: 'start-upload', repository: 'a', algorithm: 'sha512' },
  ],
  [
    `POST /v2/a/blobs/uploads/?digest=${sha256}`,
    { kind: 'start-upload', repository: 'a', algorithm: 'sha256', digest: sha256 },
  ],
  [
    `POST /v2/a/blobs/uploads/?mount=${sha256}&from=b/c`,
    { kind: 'mount-blob', repository: 'a', digest: sha256, from: 'b/c', algorithm: 'sha256' },
  ],
  [
    `POST /v2/a/blobs/uploads/?mount=${sha256}`,
    { kind: 'mount-blob', repository: 'a', digest: sha256, algorithm: 'sha256' },
  ],
  [
    `GET /v2/a/blobs/uploads/${upload}`,
    { kind: 'get-upload', repository: 'a', upload, head: false },
  ],
  [`PATCH /v2/a/blobs/uploads/${upload}`, { kind: 'update-upload', repository: 'a', upload }],
  [
    `PUT /v2/a/blobs/uploads/${upload}?digest=${sha256}`,
    { kind: 'complete-upload', repository: 'a', upload, digest: sha256 },
  ],
  [`DELETE /v2/a/blobs/uploads/${upload}`, { kind: 'cancel-upload', repository: 'a', upload }],
  [
    `GET /v2/a/referrers/${sha256}?artifactType=x/y&n=3`,
    {
      kind: 'get-referrers',
      repository: 'a',
      digest: sha256,
      artifactType: 'x/y',
      page: { limit: 3 },
    },
  ],
]

const refused: ReadonlyArray<readonly [line: string, code: string, status: number]> = [
  ['GET /', 'ROUTE_UNKNOWN', 404],
  ['GET /v1/', 'ROUTE_UNKNOWN', 404],
  ['GET /v2/a', 'ROUTE_UNKNOWN', 404],
  ['GET /v2/a/tags/other', 'ROUTE_UNKNOWN', 404],
  ['GET /v2/a/b/uploads/x', 'ROUTE_UNKNOWN', 404],
  ['POST /v2/', 'UNSUPPORTED', 405],
  ['PATCH /v2/a/manifests/v1', 'UNSUPPORTED', 405],
  ['GET /v2/a/blobs/uploads/', 'UNSUPPORTED', 405],
  ['GET /v2/A/manifests/v1', 'NAME_INVALID', 400],
  ['GET /v2//manifests/v1', 'NAME_INVALID', 400],
  ['GET /v2/../etc/manifests/v1', 'NAME_INVALID', 400],
  ['GET /v2/%2e%2e/etc/manifests/v1', 'NAME_INVALID', 400],
  ['GET /v2/a%2fb/manifests/v1', 'NAME_INVALID', 400],
  ['GET /v2/a%00/manifests/v1', 'NAME_INVALID', 400],
  ['GET /v2/manifests/v1', 'NAME_INVALID', 400],
  [`GET /v2/${'a'.repeat(256)}/manifests/v1`, 'NAME_INVALID', 400],
  ['GET /v2/a/manifests/.INVALID', 'MANIFEST_UNKNOWN', 404],
  ['PUT /v2/a/manifests/.INVALID', 'TAG_INVALID', 400],
  [`PUT /v2/a/manifests/${'t'.repeat(129)}`, 'TAG_INVALID', 400],
  ['PUT /v2/a/manifests/sha256:baddigeststring', 'DIGEST_INVALID', 400],
  ['GET /v2/a/manifests/sha256:baddigeststring', 'DIGEST_INVALID', 400],
  ['GET /v2/a/blobs/sha256:abc', 'DIGEST_INVALID', 400],
  [`GET /v2/a/blobs/md5:${'a'.repeat(32)}`, 'DIGEST_INVALID', 400],
  ['GET /v2/a/referrers/latest', 'DIGEST_INVALID', 400],
  ['GET /v2/a/blobs/uploads/not-a-uuid', 'BLOB_UPLOAD_UNKNOWN', 404],
  ['GET /v2/a/tags/list?n=-1', 'PAGINATION_INVALID', 400],
  ['GET /v2/a/tags/list?n=many', 'PAGINATION_INVALID', 400],
  ['POST /v2/a/blobs/uploads/?mount=latest', 'DIGEST_INVALID', 400],
  [`POST /v2/a/blobs/uploads/?mount=${sha256}&from=UPPER`, 'NAME_INVALID', 400],
  ['POST /v2/a/blobs/uploads/?digest-algorithm=md5', 'DIGEST_INVALID', 400],
  [`PUT /v2/a/blobs/uploads/${upload}`, 'DIGEST_INVALID', 400],
  [`PUT /v2/a/manifests/${sha256}?tag=-bad`, 'TAG_INVALID', 400],
  [`GET /v2/${'a/'.repeat(600)}manifests/v1`, 'REQUEST_INVALID', 414],
]

for (const [line, expected] of accepted) {
  test(`${line} is accepted`, () => {
    assert.deepEqual(ask(line), expected)
  })
}

for (const [line, code, status] of refused) {
  test(`${line.slice(0, 80)} is refused with ${code}`, () => {
    assert.throws(
      () => ask(line),
      (error) => error instanceof OciError && error.code === code && error.status === status,
    )
  })
}

test('a 405 names the methods that the target takes', () => {
  assert.throws(
    () => ask('POST /v2/a/tags/list'),
    (error) =>
      error instanceof OciError &&
      error.headers.some(([name, value]) => name === 'Allow' && value === 'GET, HEAD'),
  )
})

test('the memo answers the same Action object for the same target, and forgets what is old', () => {
  const memo = new RouteMemo('GET')
  const first = memo.route('/v2/a/manifests/v1', '')
  assert.equal(memo.route('/v2/a/manifests/v1', ''), first)
  assert.notEqual(memo.route('/v2/a/manifests/v1', 'x=1'), first)
  for (let i = 0; i < 10_000; i++) memo.route(`/v2/a/manifests/t${i}`, '')
  assert.notEqual(memo.route('/v2/a/manifests/v1', ''), first)
})
