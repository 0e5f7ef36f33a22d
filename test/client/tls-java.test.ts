// Goal: a Java client pushes with "Expect: 100-continue" without a stall, over TLS and mTLS, and falls
// back from HTTP/2. Method: the HTTP client of the Java library, which waits for the interim reply for
// as long as it may take.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { run } from '../support/run.ts'
import { projectRoot } from '../support/server.ts'
import { usePki, useTlsServer } from '../support/tls-server.ts'
import { needs } from '../support/tools.ts'

describe('Java’s HTTP client', needs('openssl', 'java', 'javac'), () => {
  const scene = usePki()
  for (const [transport, clientAuth] of [
    ['uws', undefined],
    ['node', 'required'],
  ] as const) {
    describe(`with ${transport}`, () => {
      const product = useTlsServer(scene, () => (clientAuth ? { clientAuth } : {}))

      test('pushes with "Expect: 100-continue" and pulls', async () => {
        const { dir, pki } = scene
        const blob = join(dir, 'blob')
        await writeFile(blob, randomBytes(2_000_000))
        const store = join(dir, 'client.p12')
        const { bundleFile, keyFile } = pki.client
        const pair = ['-in', bundleFile, '-inkey', keyFile]
        await run('openssl', [
          'pkcs12',
          '-export',
          ...pair,
          '-out',
          store,
          '-passout',
          'pass:secret',
        ])
        const program = join(projectRoot, 'test', 'client', 'java', 'Push.java')
        const { url } = product.get()
        const ca = pki.serverCa.certificateFile
        const output = await run('java', [program, url, 'java/blob', blob, store, ca])
        assert.equal(output, '202 201 200 same HTTP_1_1')
      })
    })
  }
})
