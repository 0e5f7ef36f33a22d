// Goal: over TLS only a service that the operator's CA vouches for is believed, and files that cannot be
// used are named. Method: a real PKI and a TLS server on loopback.

import assert from 'node:assert/strict'
import { createPrivateKey } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import type { TlsOptions } from 'node:tls'
import { Secret } from '../../src/config/secret.ts'
import { openCaller } from '../../src/outbound/caller.ts'
import type { CallResult } from '../../src/outbound/contract.ts'
import { type CallerTlsFiles, readCallerTls } from '../../src/outbound/tls-files.ts'
import { createPki, needsOpenssl, type Pki } from '../support/pki.ts'
import { openRudeService, type RudeService } from '../support/rude-service.ts'

let dir = ''
let pki: Pki

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'keelson-outbound-'))
  if (needsOpenssl.skip === false) pki = await createPki(dir)
})
after(() => rm(dir, { recursive: true, force: true }))

const fine = { status: 200, body: 'fine' }
const name = 'auth.webhook.scanner'

async function serve(t: TestContext, changes: TlsOptions = {}): Promise<RudeService> {
  const { bundlePem: cert, keyPem: key } = pki.server
  const service = await openRudeService(fine, { cert, key, ...changes })
  t.after(() => service.close())
  return service
}

async function call(url: string, files: CallerTlsFiles): Promise<CallResult> {
  const caller = openCaller({
    ...{ name, url, timeoutMs: 5000, concurrencyMax: 1, tls: await readCallerTls(name, files) },
    elapsed: () => performance.now(),
  })
  try {
    return await caller.call({ method: 'GET' })
  } finally {
    await caller.close()
  }
}

function problemOf(result: CallResult): string {
  return result.kind === 'failed' ? result.problem : `answer ${result.status}`
}

test('a service of the given CA is believed, and no other', needsOpenssl, async (t) => {
  const serverCaBundle = pki.serverCa.certificateFile
  const { url } = await serve(t)
  assert.equal(problemOf(await call(url, { serverCaBundle })), 'answer 200')
  const other = pki.clientCa.certificateFile
  assert.equal(problemOf(await call(url, { serverCaBundle: other })), 'tls')
  assert.equal(problemOf(await call(url, {})), 'tls')
})

test('the environment cannot make it believe anybody', needsOpenssl, async (t) => {
  const { url } = await serve(t)
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
  t.after(() => delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'])
  assert.equal(problemOf(await call(url, {})), 'tls')
})

test(
  'another name and a certificate that has expired are not believed',
  needsOpenssl,
  async (t) => {
    const serverCaBundle = pki.serverCa.certificateFile
    const elsewhere = await pki.serverCa.serverCertificate({ sans: ['DNS:elsewhere.test'] })
    const expired = await pki.serverCa.serverCertificate({
      sans: ['IP:127.0.0.1'],
      notAfter: new Date(Date.now() - 60_000),
    })
    for (const { bundlePem: cert, keyPem: key } of [elsewhere, expired]) {
      const { url, requests } = await serve(t, { cert, key })
      assert.equal(problemOf(await call(url, { serverCaBundle })), 'tls')
      assert.equal(requests.length, 0)
    }
  },
)

test(
  'neither plain HTTP where TLS is spoken nor TLS where it is not is an answer',
  needsOpenssl,
  async (t) => {
    const serverCaBundle = pki.serverCa.certificateFile
    const secure = await serve(t)
    const plain = await openRudeService(fine)
    t.after(() => plain.close())
    const toPlain = await call(plain.url.replace('http:', 'https:'), { serverCaBundle })
    assert.equal(toPlain.kind, 'failed')
    const toSecure = await call(secure.url.replace('https:', 'http:'), { serverCaBundle })
    assert.equal(toSecure.kind, 'failed')
  },
)

test('a client certificate is shown, also one with an encrypted key', needsOpenssl, async (t) => {
  const serverCaBundle = pki.serverCa.certificateFile
  const ca = pki.clientCa.pem
  const { url, requests } = await serve(t, { ca, requestCert: true, rejectUnauthorized: true })
  const { bundleFile: clientCertificate, keyFile: clientPrivateKey } = pki.client
  const files = { serverCaBundle, clientCertificate, clientPrivateKey }
  assert.equal(problemOf(await call(url, files)), 'answer 200')
  const locked = await pki.clientCa.clientCertificate({ passphrase: 'open sesame' })
  const withPassphrase = {
    serverCaBundle,
    clientCertificate: locked.bundleFile,
    clientPrivateKey: locked.keyFile,
    clientPrivateKeyPassphrase: new Secret('open sesame'),
  }
  assert.equal(problemOf(await call(url, withPassphrase)), 'answer 200')

  const served = requests.length
  const without = await call(url, { serverCaBundle })
  assert.equal(without.kind, 'failed')
  const rogue = await (await pki.rogueCa()).clientCertificate()
  const foreign = await call(url, {
    serverCaBundle,
    clientCertificate: rogue.bundleFile,
    clientPrivateKey: rogue.keyFile,
  })
  assert.equal(foreign.kind, 'failed')
  assert.equal(requests.length, served)
})

test('a file that cannot be used is named with its key, and no secret', needsOpenssl, async () => {
  const file = async (text: string): Promise<string> => {
    const path = join(dir, `file-${Math.abs(hashOf(text))}.pem`)
    await writeFile(path, text)
    return path
  }
  const { bundleFile: clientCertificate, keyFile: clientPrivateKey } = pki.client
  const { keyFile: otherKey } = pki.server
  const locked = await pki.clientCa.clientCertificate({ passphrase: 'open sesame' })
  const half = pki.serverCa.pem.slice(0, 200)
  const pair = { clientCertificate: locked.bundleFile, clientPrivateKey: locked.keyFile }
  // In the older form of OpenSSL, whose derivation is quick: of so many passphrases some decrypt to
  // something that ends like a key and is none.
  const oldKey = createPrivateKey(await readFile(clientPrivateKey, 'utf8')).export({
    ...{ type: 'sec1', format: 'pem', cipher: 'aes-128-cbc', passphrase: 'open sesame' },
  })
  const old = { clientCertificate, clientPrivateKey: await file(String(oldKey)) }
  const wrongPassphrases = Array.from({ length: 600 }, (_, index) => `open says me ${index}`)
  const cases: ReadonlyArray<readonly [CallerTlsFiles, RegExp]> = [
    [
      { serverCaBundle: join(dir, 'none.pem') },
      /server_ca_bundle: .*none\.pem cannot be read \(ENOENT\)$/,
    ],
    [{ serverCaBundle: dir }, /server_ca_bundle: .* cannot be read \(EISDIR\)$/],
    [{ serverCaBundle: await file('') }, /server_ca_bundle: .* holds no PEM certificate$/],
    [{ serverCaBundle: await file(half) }, /server_ca_bundle: .* holds no PEM certificate$/],
    [{ serverCaBundle: await file(pki.serverCa.pem + half) }, /something beside whole PEM/],
    [{ serverCaBundle: otherKey }, /server_ca_bundle: .* holds no PEM certificate$/],
    [
      {
        serverCaBundle: await file(
          `${pki.serverCa.pem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`,
        ),
      },
      /its certificate 2 cannot be read$/,
    ],
    [{ clientCertificate }, /: client_certificate and client_private_key belong together$/],
    [{ clientPrivateKey }, /: client_certificate and client_private_key belong together$/],
    [
      { clientCertificate, clientPrivateKey: otherKey },
      /client_private_key: .* is not the key of the certificate$/,
    ],
    [pair, /client_private_key: .* is encrypted, and there is no passphrase$/],
    [
      { ...pair, clientPrivateKeyPassphrase: new Secret('open says me') },
      /client_private_key: .* is not opened by its passphrase$/,
    ],
    ...wrongPassphrases.map((passphrase): readonly [CallerTlsFiles, RegExp] => [
      { ...old, clientPrivateKeyPassphrase: new Secret(passphrase) },
      /client_private_key: .* is not opened by its passphrase$/,
    ]),
  ]
  for (const [files, message] of cases) {
    await assert.rejects(readCallerTls(name, files), (error: Error) => {
      assert.match(error.message, message)
      assert.ok(error.message.startsWith(name))
      assert.doesNotMatch(error.message, /PRIVATE KEY|open says me/)
      return true
    })
  }
})

function hashOf(text: string): number {
  let hash = 0
  for (const character of text) hash = (hash * 31 + character.charCodeAt(0)) | 0
  return hash
}
