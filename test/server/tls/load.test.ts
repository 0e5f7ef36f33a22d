// Goal: a set of TLS files is taken only when all of it is good, and a message says which file is not,
// and what to do. Method: one fault each in files that are good otherwise.
import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type { TlsConfig } from '../../../src/config/schema.ts'
import { Secret } from '../../../src/config/secret.ts'
import { defaultCiphers, loadTls, loadTlsMaterial } from '../../../src/server/tls/load.ts'
import { TicketSecrets } from '../../../src/server/tls/ticket-keys.ts'
import { TlsFileError } from '../../../src/server/tls/tls-files.ts'
import { needsOpenssl, type Pki } from '../../support/pki.ts'
import { dayMs, hourMs, openTlsScene, type TlsScene, tlsFiles, writeScene } from './tls-scene.ts'

describe('loading TLS files', needsOpenssl, () => {
  let scene: TlsScene
  let pki: Pki
  before(async () => {
    scene = await openTlsScene()
    pki = scene.pki
  })
  after(() => scene.close())

  const load = (over: Partial<TlsConfig> = {}, now: () => number = Date.now) =>
    loadTlsMaterial(tlsFiles(scene, over), now)

  async function refuses(
    over: Partial<TlsConfig>,
    reason: RegExp,
    now: () => number = Date.now,
  ): Promise<void> {
    await assert.rejects(load(over, now), (error: unknown) => {
      assert.ok(error instanceof TlsFileError, String(error))
      assert.match(error.message, reason)
      assert.doesNotMatch(error.message, /PRIVATE KEY|open sesame/)
      return true
    })
  }

  describe('takes', () => {
    test('a certificate with its key', async () => {
      const material = await load()
      assert.equal(material.certificateBundle, pki.server.pem)
      assert.deepEqual(material.names, ['localhost', 'registry.test', '127.0.0.1', '::1'])
      assert.equal(material.notAfterMs, Date.parse(new X509Certificate(pki.server.pem).validTo))
      assert.equal(material.ciphers, defaultCiphers)
      assert.equal(material.clientAuth, undefined)
      assert.equal(material.ocspResponse, undefined)
      assert.equal(material.sessionTimeoutSeconds, 43_200)
      assert.equal(material.ticketKeys.length, 48)
    })

    for (const key of ['rsa', 'ed25519'] as const) {
      test(`an encrypted ${key} key, by its passphrase`, async () => {
        const passphrase = 'open sesame'
        const made = await pki.serverCa.serverCertificate({ key, passphrase })
        const { privateKey } = await load({
          serverCertificateBundle: made.bundleFile,
          serverPrivateKey: made.keyFile,
          privateKeyPassphrase: new Secret(passphrase),
        })
        assert.equal(createPrivateKey(privateKey).asymmetricKeyType, key)
      })
    }

    test('a key in the old encrypted form, with other blocks beside it', async () => {
      const key = createPrivateKey(pki.server.keyPem)
      const options = { format: 'pem', cipher: 'aes-256-cbc', passphrase: 'open sesame' } as const
      const pem = key.export({ type: 'sec1', ...options }).toString()
      assert.match(pem, /Proc-Type/)
      const serverPrivateKey = await writeScene(scene, pki.server.pem + pem)
      const { privateKey } = await load({
        serverPrivateKey,
        privateKeyPassphrase: new Secret('open sesame'),
      })
      assert.ok(createPrivateKey(privateKey).equals(key))
    })

    test('a chain with an intermediate, with text and CRLF in the file', async () => {
      const intermediate = await pki.serverCa.intermediate('Intermediate')
      const made = await intermediate.serverCertificate()
      const text = `the leaf:\n${made.bundlePem}\nthe root:\n${pki.serverCa.pem}`
      const { certificateBundle } = await load({
        serverCertificateBundle: await writeScene(scene, text.replaceAll('\n', '\r\n')),
        serverPrivateKey: made.keyFile,
      })
      assert.equal(certificateBundle, made.bundlePem + pki.serverCa.pem)
    })

    test('a CA bundle with revocation lists, in PEM and in DER', async () => {
      const other = await pki.authority('Other CA')
      const revoked = await pki.clientCa.clientCertificate()
      await pki.clientCa.revoke(revoked)
      const list = await pki.clientCa.crl()
      const otherList = await other.crl()
      const der = Buffer.from(otherList.pem.split('\n').slice(1, -2).join(''), 'base64')
      const { clientAuth } = await load({
        clientCaBundle: await writeScene(scene, pki.clientCa.pem + other.pem),
        clientAuth: 'required',
        clientCrls: [list.file, await writeScene(scene, der)],
      })
      assert.equal(clientAuth?.mode, 'required')
      assert.equal(clientAuth.caBundle, pki.clientCa.pem + other.pem)
      assert.deepEqual(clientAuth.crls, [list.pem, otherList.pem])
    })

    test('several lists in one file', async () => {
      const other = await pki.authority('Other CA')
      const lists = [await pki.clientCa.crl(), await other.crl()]
      const { clientAuth } = await load({
        clientCaBundle: await writeScene(scene, pki.clientCa.pem + other.pem),
        clientCrls: [await writeScene(scene, lists.map(({ pem }) => pem).join(''))],
      })
      assert.deepEqual(
        clientAuth?.crls,
        lists.map(({ pem }) => pem),
      )
    })

    test('an OCSP response for the certificate', async () => {
      const { file, der } = await pki.serverCa.ocspResponse(pki.server)
      assert.deepEqual((await load({ ocspResponse: file })).ocspResponse, der)
      const bundle = await writeScene(scene, pki.server.pem + pki.serverCa.pem)
      const over = { serverCertificateBundle: bundle, ocspResponse: file }
      assert.deepEqual((await load(over)).ocspResponse, der)
    })

    test('an expired CA beside a good one, and tells of it', async () => {
      const old = await pki.authority('Old CA', { notAfter: new Date(Date.now() - hourMs) })
      const clientCaBundle = await writeScene(scene, pki.clientCa.pem + old.pem)
      const files = tlsFiles(scene, { clientCaBundle })
      const { warnings } = await loadTls(files, Date.now, new TicketSecrets())
      assert.equal(warnings.length, 1)
      assert.match(warnings[0] ?? '', /certificate 2 \("CN=Old CA"\) is expired at/)
    })
  })

  describe('refuses a server certificate', () => {
    test('with another key', async () => {
      const other = await pki.serverCa.serverCertificate()
      await refuses(
        { serverPrivateKey: other.keyFile },
        /server-\d+\.key: the key does not fit certificate 1 .* of .*bundle/,
      )
    })

    test('that has expired, or is not valid yet', async () => {
      await refuses({}, /certificate 1 \("CN=registry.test"\) is expired at/, later(31 * dayMs))
      await refuses({}, /is not valid before .*check the clock/, later(-2 * dayMs))
    })

    test('with an intermediate that has expired', async () => {
      const notAfter = new Date(Date.now() - hourMs)
      const intermediate = await pki.serverCa.intermediate('Intermediate', { notAfter })
      const made = await intermediate.serverCertificate()
      const over = { serverCertificateBundle: made.bundleFile, serverPrivateKey: made.keyFile }
      await refuses(over, /certificate 2 \("CN=Intermediate"\) is expired/)
    })

    test('whose chain is in the wrong order, or holds a stranger', async () => {
      const intermediate = await pki.serverCa.intermediate('Intermediate')
      const made = await intermediate.serverCertificate()
      const chain = (...pems: string[]) => writeScene(scene, pems.join(''))
      const root = pki.serverCa.pem
      const serverPrivateKey = made.keyFile
      const wrong = await chain(made.pem, root, intermediate.pem)
      const notIssued = /certificate 1 .* was not issued by certificate 2 .*order the file/
      await refuses({ serverCertificateBundle: wrong, serverPrivateKey }, notIssued)
      const stranger = await chain(made.pem, pki.clientCa.pem)
      await refuses({ serverCertificateBundle: stranger, serverPrivateKey }, notIssued)
      const rootFirst = await chain(intermediate.pem, made.pem)
      await refuses({ serverCertificateBundle: rootFirst, serverPrivateKey }, /was not issued/)
    })

    test('whose issuer has the right name and another key', async () => {
      const namesake = await pki.authority('Server CA')
      for (const withoutKeyIdentifiers of [false, true]) {
        const made = await pki.serverCa.serverCertificate({ withoutKeyIdentifiers })
        const serverCertificateBundle = await writeScene(scene, made.pem + namesake.pem)
        const over = { serverCertificateBundle, serverPrivateKey: made.keyFile }
        await refuses(over, /was not issued by/)
      }
    })

    test('that is for clients', async () => {
      const made = await pki.serverCa.clientCertificate()
      const over = { serverCertificateBundle: made.bundleFile, serverPrivateKey: made.keyFile }
      await refuses(over, /is not for servers/)
    })

    test('whose file is cut off anywhere', async () => {
      const whole = pki.server.pem + pki.serverCa.pem
      const second = whole.indexOf('-----BEGIN', 10)
      for (const end of [10, 40, 400, second - 2, second + 3, second + 300, whole.length - 4]) {
        const serverCertificateBundle = await writeScene(scene, whole.slice(0, end))
        await refuses({ serverCertificateBundle }, /cut off|cannot be parsed|no certificate/)
      }
    })

    test('whose bytes are garbage', async () => {
      const [first = '', ...rest] = pki.server.pem.split('\n')
      const text = [first, 'AAAA', ...rest.slice(1)].join('\n')
      const serverCertificateBundle = await writeScene(scene, text)
      await refuses({ serverCertificateBundle }, /certificate 1 cannot be parsed/)
    })
  })

  describe('refuses a key', () => {
    test('without its passphrase, or with a wrong one', async () => {
      const made = await pki.serverCa.serverCertificate({ passphrase: 'open sesame' })
      const over = { serverCertificateBundle: made.bundleFile, serverPrivateKey: made.keyFile }
      await refuses(over, /key is encrypted; set server.tls.private_key_passphrase/)
      const privateKeyPassphrase = new Secret('open says me')
      await refuses({ ...over, privateKeyPassphrase }, /the passphrase does not open/)
    })

    test('that is absent, a folder, doubled, cut off or no key', async () => {
      const { keyPem, pem } = pki.server
      const file = (text: string) => writeScene(scene, text)
      await refuses({ serverPrivateKey: `${scene.folder}/absent` }, /does not exist/)
      await refuses({ serverPrivateKey: scene.folder }, /it is a folder/)
      await refuses({ serverPrivateKey: await file(keyPem + keyPem) }, /several private keys/)
      await refuses({ serverPrivateKey: await file(keyPem.slice(0, 100)) }, /cut off/)
      await refuses({ serverPrivateKey: await file(pem) }, /no private key/)
      const garbage = keyPem.replace(/M/, 'A')
      await refuses({ serverPrivateKey: await file(garbage) }, /cannot be parsed/)
    })
  })

  describe('refuses settings', () => {
    test('that ask for client certificates without CAs', async () => {
      await refuses({ clientAuth: 'required' }, /client_auth: .*without a CA bundle/)
      await refuses({ clientCrls: ['/absent'] }, /client_crls: there is no CA bundle/)
    })

    test('with suites that OpenSSL does not know, or that are not for TLS 1.2', async () => {
      await refuses({ ciphers: 'ECDHE-RSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256' }, /TLS 1.3/)
      for (const ciphers of [
        'ECDHE-NOTHING',
        'ALL:eNULL:@SECLEVEL=0',
        'AES128-GCM-SHA256',
        '!aNULL',
      ]) {
        await refuses({ ciphers }, /server.tls.ciphers: ".*" is not a suite with forward secrecy/)
      }
      const known = 'ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA256'
      await refuses({ ciphers: known }, /"ECDHE-RSA-AES128-SHA256" is not a suite/)
    })
  })

  describe('refuses a CA bundle', () => {
    test('with a certificate that is no CA', async () => {
      const clientCaBundle = await writeScene(scene, pki.clientCa.pem + pki.client.pem)
      await refuses({ clientCaBundle }, /certificate 2 .*build-server.* is no CA/)
    })

    test('that stops below its root', async () => {
      const intermediate = await pki.clientCa.intermediate('Intermediate')
      await refuses({ clientCaBundle: intermediate.certificateFile }, /the issuer of .* is missing/)
      await load({ clientCaBundle: await writeScene(scene, intermediate.pem + pki.clientCa.pem) })
    })

    test('of which nothing is valid', async () => {
      const old = await pki.authority('Old CA', { notAfter: new Date(Date.now() - hourMs) })
      await refuses({ clientCaBundle: old.certificateFile }, /no CA in it is valid now/)
    })
  })

  describe('refuses a revocation list', () => {
    const withList = (...clientCrls: string[]): Partial<TlsConfig> => ({
      clientCaBundle: pki.clientCa.certificateFile,
      clientCrls,
    })

    test('of a CA that is not in the bundle', async () => {
      const { file } = await pki.serverCa.crl()
      await refuses(withList(file), /issuer "CN=Server CA" is not among the CAs/)
    })

    test('by another key under the same name', async () => {
      const rogue = await pki.rogueCa()
      await refuses(withList((await rogue.crl()).file), /signature is not by "CN=Client CA"/)
    })

    test('that was changed after it was signed', async () => {
      await pki.clientCa.revoke(
        await pki.clientCa.clientCertificate({ serial: '7777777777777777' }),
      )
      const { pem } = await pki.clientCa.crl()
      const der = Buffer.from(pem.split('\n').slice(1, -2).join(''), 'base64')
      const at = der.indexOf(Buffer.from('7777777777777777', 'hex'))
      der.writeUInt8(0x70, at)
      await refuses(withList(await writeScene(scene, der)), /signature is not by/)
    })

    test('that has ended, or begins later', async () => {
      const { file } = await pki.clientCa.crl({ nextUpdate: new Date(Date.now() + hourMs) })
      await load(withList(file), later(hourMs / 2))
      await refuses(withList(file), /the list of "CN=Client CA" ended at/, later(2 * hourMs))
      await refuses(withList(file), /begins to hold at .*check the clock/, later(-hourMs))
    })

    test('that leaves a CA of the bundle without one', async () => {
      const other = await pki.authority('Other CA')
      const clientCaBundle = await writeScene(scene, pki.clientCa.pem + other.pem)
      const { file } = await pki.clientCa.crl()
      await refuses({ clientCaBundle, clientCrls: [file] }, /certificate 2 .* no revocation list/)
    })

    test('that is cut off, empty or something else', async () => {
      const { pem } = await pki.clientCa.crl()
      const der = Buffer.from(pem.split('\n').slice(1, -2).join(''), 'base64')
      const file = (content: string | Uint8Array) => writeScene(scene, content)
      await refuses(withList(await file(pem.slice(0, 200))), /cut off/)
      await refuses(withList(await file('')), /no revocation list/)
      await refuses(withList(await file(der.subarray(0, 100))), /cannot be parsed/)
      await refuses(withList(pki.clientCa.certificateFile), /no revocation list/)
    })
  })

  describe('refuses an OCSP response', () => {
    test('for another certificate', async () => {
      const other = await pki.serverCa.serverCertificate()
      const { file } = await pki.serverCa.ocspResponse(other)
      await refuses({ ocspResponse: file }, /is not for certificate 1/)
    })

    test('that says revoked', async () => {
      const made = await pki.serverCa.serverCertificate()
      await pki.serverCa.revoke(made)
      const { file } = await pki.serverCa.ocspResponse(made)
      const over = { serverCertificateBundle: made.bundleFile, serverPrivateKey: made.keyFile }
      await refuses({ ...over, ocspResponse: file }, /says that certificate 1 .* is revoked/)
    })

    test('that has ended, or holds later', async () => {
      const { file } = await pki.serverCa.ocspResponse(pki.server, { minutes: 60 })
      await refuses({ ocspResponse: file }, /it ended at/, later(2 * hourMs))
      await refuses({ ocspResponse: file }, /it holds from/, later(-hourMs))
    })

    test('with a signature that is not the issuer’s', async () => {
      const { der } = await pki.serverCa.ocspResponse(pki.server)
      const changed = Buffer.from(der)
      // The last digit of producedAt: still a time, not what was signed.
      const digit = changed.indexOf(Buffer.from('180f', 'hex')) + 15
      changed.write(
        changed.toString('latin1', digit, digit + 1) === '0' ? '1' : '0',
        digit,
        'latin1',
      )
      const bundle = await writeScene(scene, pki.server.pem + pki.serverCa.pem)
      const ocspResponse = await writeScene(scene, changed)
      await refuses({ serverCertificateBundle: bundle, ocspResponse }, /its signature is not by/)
    })

    test('that is an error, or garbage', async () => {
      const tryLater = await writeScene(scene, Buffer.from('30030a0103', 'hex'))
      await refuses({ ocspResponse: tryLater }, /the responder answered with the error 3/)
      const garbage = await writeScene(scene, 'no response')
      await refuses({ ocspResponse: garbage }, /cannot be parsed/)
    })
  })
})

function later(ms: number): () => number {
  return () => Date.now() + ms
}
