// Goal: no load driver takes a wrong answer for a fast one. Method: each meets a server that refuses,
// gives fewer bytes than it should, or hangs up, and must end with an error that says so.
import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { type Content, smallImage } from '../../bench/content.ts'
import type { Scenario, Server } from '../../bench/contract.ts'
import { pullEach } from '../../bench/load/cold.ts'
import { imagePush, imageRepush } from '../../bench/scenario/image-push.ts'
import { latencyBeside } from '../../bench/scenario/latency-beside.ts'
import { mixed90To10 } from '../../bench/scenario/mixed-90-10.ts'
import { pushChunked8MiB } from '../../bench/scenario/push-chunked-8mib.ts'
import { pullsAbort, rangesAbort } from '../../bench/scenario/ranges-abort.ts'
import { slowUploads } from '../../bench/scenario/slow-uploads.ts'
import { tokenIssueCold } from '../../bench/scenario/token-issue.ts'

const refuse: RequestListener = (request, response) => {
  request.resume()
  response.writeHead(500, { 'Content-Length': 2 }).end(request.method === 'HEAD' ? '' : 'no')
}

/** All is well, but for the bytes: one for each GET. */
const giveOneByte: RequestListener = (request, response) => {
  request.resume()
  response.writeHead(200, { 'Content-Length': 1 }).end('x')
}

/** Bodies are promised, begun and never ended. */
const hangUp: RequestListener = (request, response) => {
  const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1]
  const from = Number(range ?? 0)
  const size = 256 * 2 ** 20
  const wanted = { 'Content-Length': size - from }
  const ranged = { ...wanted, 'Content-Range': `bytes ${from}-${size - 1}/${size}` }
  response.writeHead(range === undefined ? 200 : 206, range === undefined ? wanted : ranged)
  response.write('x'.repeat(100_000), () => response.destroy())
}

/** Uploads begin, and their first body is cut off. */
const cutUploads: RequestListener = (request, response) => {
  if (request.method === 'POST') {
    response.writeHead(202, { Location: '/upload', 'Content-Length': 0 }).end()
  } else if (request.method === 'PATCH') {
    request.once('data', () => request.destroy())
  } else {
    response.writeHead(200, { 'Content-Length': 0 }).end()
  }
}

/** As if every blob were there already. */
const haveAll: RequestListener = (_request, response) => {
  response.writeHead(200, { 'Content-Length': 0 }).end()
}

async function withServer(
  listener: RequestListener,
  act: (server: Server) => Promise<void>,
): Promise<void> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const nothing = async (): Promise<void> => undefined
  try {
    await act({
      ...{ kind: 'server', name: 'docker-registry', port, credentials: undefined },
      ...{ pid: process.pid, blobRoot: undefined, load: nothing, stop: nothing },
    })
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

const content: Content = smallImage()
const slow = slowUploads[0]
assert.ok(slow)

const cases: readonly (readonly [Scenario, string, RequestListener, RegExp])[] = [
  [rangesAbort, 'is refused', refuse, /unexpected answer: http\/1\.1 500/],
  [rangesAbort, 'gets another range', giveOneByte, /unexpected answer: http\/1\.1 200/],
  [rangesAbort, 'is left alone in the body', hangUp, /the server closed|ECONNRESET/],
  [pullsAbort, 'is refused', refuse, /unexpected answer: http\/1\.1 500/],
  [pullsAbort, 'gets a short body', giveOneByte, /unexpected answer: http\/1\.1 200/],
  [imagePush, 'is refused', refuse, /HEAD of a new blob: 500/],
  [imagePush, 'finds blobs that it never sent', haveAll, /HEAD of a new blob: 200/],
  [imageRepush, 'is refused', refuse, /500, wanted 200/],
  [imageRepush, 'sees its manifest refused', haveAll, /200, wanted 201/],
  [mixed90To10, 'is refused', refuse, /: 500, 2 of \d+ bytes/],
  [mixed90To10, 'gets a short body', giveOneByte, /: 200, 1 of \d+ bytes/],
  [latencyBeside, 'is refused', refuse, /: 500, 2 of \d+ bytes/],
  [latencyBeside, 'gets a short body', giveOneByte, /: 200, 1 of \d+ bytes/],
  [pushChunked8MiB, 'is refused', refuse, /POST: 500, wanted 202/],
  [pushChunked8MiB, 'is cut off', cutUploads, /the server closed|ECONNRESET|EPIPE/],
  [slow, 'is refused', refuse, /(POST|ping): 500/],
  [slow, 'is cut off', cutUploads, /the server closed|ECONNRESET|EPIPE/],
  [tokenIssueCold, 'is refused', refuse, /500 no/],
  [tokenIssueCold, 'gets no token', giveOneByte, /200 x/],
]

for (const [scenario, what, listener, complaint] of cases) {
  test(`the load of ${scenario.name} fails where it ${what}`, () =>
    withServer(listener, async (server) => {
      const context = { seconds: 0.05, connections: 2, loadCores: undefined }
      const round = Promise.resolve().then(() => scenario.round(server, content, context))
      await assert.rejects(round, complaint)
    }))
}

test('pulls of cold blobs fail where a blob is refused or short', async () => {
  await withServer(refuse, ({ port }) =>
    assert.rejects(pullEach(port, ['/a', '/b'], 1000, 2), /GET \/[ab]: 500/),
  )
  await withServer(giveOneByte, ({ port }) =>
    assert.rejects(pullEach(port, ['/a', '/b'], 1000, 2), /GET \/[ab]: 1 of 1000 bytes/),
  )
})
