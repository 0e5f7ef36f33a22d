// Goal: what a proxy tells is either one request of the distribution specification, which every registry
// reads alike, or refused. Method: tables, no server.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OciError } from '../../src/oci/error.ts'
import { route } from '../../src/route/route.ts'
import { originalAction } from '../../src/server/original-request.ts'

const digest = `sha256:${'a'.repeat(64)}`
const upload = '0f8fad5b-d9cb-469f-a165-70867728950e'
const session = `/v2/a/b/blobs/uploads/${upload}`

function ask(line: string, ...contentTypes: readonly string[]): string {
  const space = line.indexOf(' ')
  const target = line.slice(space + 1)
  const mark = target.indexOf('?')
  const path = mark === -1 ? target : target.slice(0, mark)
  const query = mark === -1 ? '' : target.slice(mark + 1)
  return originalAction({ method: line.slice(0, space), path, query, contentTypes }, route).kind
}

function assertRefused(what: string, act: () => unknown): void {
  const isDenial = (error: unknown): boolean =>
    error instanceof OciError && error.code === 'DENIED' && error.status === 403
  assert.throws(act, isDenial, what)
}

const plain: ReadonlyArray<readonly [string, string]> = [
  ['GET /v2', 'get-api-version'],
  ['HEAD /v2/', 'get-api-version'],
  ['GET /v2/_catalog?n=10&last=a%2Fb', 'list-catalog'],
  ['GET /v2/a/b/tags/list?last=v1.0', 'list-tags'],
  ['GET /v2/a/manifests/1', 'get-manifest'],
  ['GET /v2/a/manifests/v', 'get-manifest'],
  ['HEAD /v2/a/manifests/v1..2', 'get-manifest'],
  [`GET /v2/a/manifests/${digest.replace(':', '%3A')}`, 'get-manifest'],
  [`GET /v2/a/manifests/${digest.replace(':', '%3a')}`, 'get-manifest'],
  ['PUT /v2/a/manifests/v1?tag=v2&tag=v3', 'put-manifest'],
  [`DELETE /v2/a/manifests/${digest}`, 'delete-manifest'],
  [`GET /v2/a/blobs/${digest}?ns=docker.io`, 'get-blob'],
  [`DELETE /v2/a/blobs/${digest}`, 'delete-blob'],
  [`GET /v2/a/referrers/${digest}?artifactType=application%2Fx%2Bjson`, 'get-referrers'],
  ['POST /v2/a/blobs/uploads/', 'start-upload'],
  ['POST /v2/a/blobs/uploads', 'start-upload'],
  [`POST /v2/a/blobs/uploads/?digest=${digest}`, 'start-upload'],
  [`POST /v2/a/blobs/uploads/?from=b%2Fc&mount=${encodeURIComponent(digest)}`, 'mount-blob'],
  [`POST /v2/a/blobs/uploads/?mount=${digest}&from=b/c&origin=`, 'mount-blob'],
  [`GET ${session}`, 'get-upload'],
  [`PATCH ${session}?_state=Zm9v_-YmFy%3D%3D`, 'update-upload'],
  [`PUT ${session}?_state=Zm9v&digest=${digest}`, 'complete-upload'],
  [`DELETE ${session}`, 'cancel-upload'],
]

test('requests of the specification are what they are', () => {
  for (const [line, kind] of plain) assert.equal(ask(line, 'application/octet-stream'), kind, line)
})

const manifest = '/v2/team/app/manifests/v1'
const confused: Readonly<Record<string, readonly string[]>> = {
  'double slashes': ['//v2/a/manifests/b', '/v2//a/manifests/b', '/v2/a/manifests//b', '/v2//'],
  'dot components': [
    ...['/v2/./a/manifests/b', '/v2/a/./manifests/b', '/v2/a/manifests/.', '/v2/.', '/./v2/'],
    ...['/v2/a/../b/manifests/c', '/v2/..', '/v2/../v2/', '/v2/a/manifests/..', '/x/../v2/'],
  ],
  'escaped dots': ['/v2/a/%2e%2e/b/manifests/c', '/v2/a/%2E/b/manifests/c', '/v2/a/manifests/%2e'],
  'escaped slashes': ['/v2/a%2Fb/manifests/c', '/v2%2fa/manifests/c', '/v2/a/manifests/b%2F'],
  'other escapes': [
    ...['/v2/%61/manifests/b', '/v2/a/manifests/%62', '/%762/', `${manifest}%00`, `${manifest}%0d`],
    ...[`${manifest}%`, `${manifest}%3`, `${manifest}%253A`, '/v2/a/manifests/%c0%ae'],
  ],
  'slashes at the end': [`${manifest}/`, '/v2/a/tags/list/', '/v2/_catalog/', `${session}/`],
  parameters: [`${manifest};v=1`, '/v2;/', '/v2/a;b/manifests/c', '/v2/a/manifests;/b'],
  'other characters': [
    ...['/v2/a\\b/manifests/c', '/v2\\', `${manifest}\\..`, '/v2/a b/manifests/c', '/v2/a|b/'],
    ...[`${manifest}\0`, `${manifest}\n`, `${manifest}\t`, '/v2/ä/manifests/b', `${manifest}#`],
    ...[`${manifest}*`, '/v2/a~b/manifests/c', '/v2/a+b/manifests/c', `${manifest}\u00a0`],
  ],
  'upper case': ['/V2/', '/v2/A/manifests/b', '/v2/a/Manifests/b', '/v2/a/manifests/SHA256:aa'],
  'other forms': [
    ...['http://a/v2/', 'https://a/v2/a/manifests/b', '*', '', 'v2/', 'a:443', ' /v2/', '/v2/ '],
  ],
  'other paths': ['/', '/v1/', '/v2a', '/v2a/manifests/b', '/token', '/v2/x', '/v2/token', '/v3/'],
  'what is too long': [`/v2/${'a/'.repeat(600)}manifests/b`, `/v2/${'a'.repeat(256)}/tags/list`],
  'other upload ids': ['/v2/a/blobs/uploads/x', `/v2/a/blobs/uploads/${upload.toUpperCase()}`],
}

for (const [what, paths] of Object.entries(confused)) {
  test(`paths with ${what} are refused`, () => {
    for (const path of paths) assertRefused(path, () => ask(`GET ${path}`))
  })
}

const mount = `mount=${digest}`
const queries: Readonly<Record<string, readonly string[]>> = {
  'repeated names': [
    `${mount}&from=b&from=c`,
    `from=b&${mount}&from=b`,
    `${mount}&${mount}&from=b`,
  ],
  'repeated names that differ': [`${mount}&from=b&%66rom=c`, 'x=1&X=2', 'a.b=1&a.b=2'],
  'names in another case': [`Mount=${digest}&From=b`, `${mount}&from=b&Digest=x`, 'TAG=a'],
  semicolons: [`${mount};from=secret`, 'x;mount=y', `x=1;${mount}&from=b`],
  'names of arrays': [
    `mount[]=${digest}`,
    'mount%5B%5D=a',
    'from%20=b',
    'from%00=b',
    '=b',
    '+from=b',
  ],
  'other characters': ['x=#&from=b', 'x=a b', 'x="', 'x=\\', 'x=ä', 'x=\0', 'x=|', 'x={}', 'x=<a>'],
  'wrong escapes': ['x=%', 'x=%zz', 'x=%2', `${mount}&from=b%`],
  'wrong values': [
    `${mount}&from=B`,
    `${mount}&from=/b`,
    `${mount}&from=b%2F..%2Fc`,
    'mount=x&from=b',
  ],
  'no source': [mount, `${mount}&from=`, `${mount}&source=b`],
  'too much': [`x=${'a'.repeat(9000)}`],
}

for (const [what, texts] of Object.entries(queries)) {
  test(`queries with ${what} are refused`, () => {
    for (const query of texts) {
      assertRefused(query, () => ask(`POST /v2/a/blobs/uploads/?${query}`))
    }
  })
}

test('methods that the endpoint does not have are refused, in any case but the upper one', () => {
  for (const method of ['get', 'Get', 'GET ', 'POST', 'PATCH', 'OPTIONS', 'TRACE', 'CONNECT', '']) {
    assertRefused(method, () => ask(`${method} ${manifest}`))
  }
  assertRefused('a GET of uploads', () => ask('GET /v2/a/blobs/uploads/'))
})

test('bodies whose fields could stand for those of the query are refused', () => {
  for (const type of [
    'application/x-www-form-urlencoded',
    'Application/X-WWW-Form-Urlencoded; charset=utf-8',
    'multipart/form-data; boundary=x',
    ' multipart/form-data;boundary=x',
  ]) {
    assertRefused(type, () => ask('POST /v2/a/blobs/uploads/', type))
    assertRefused(type, () => ask(`PATCH ${session}`, 'text/plain', type))
  }
})
