// Goal: whoever shares a secret, the CAs and the lists has the same ticket keys, and nobody else does.
// Method: load sets that differ in one thing and compare their keys.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chmod } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import type { TlsConfig } from '../../../src/config/schema.ts'
import { loadTls, loadTlsMaterial } from '../../../src/server/tls/load.ts'
import { TicketSecrets, ticketEpoch, ticketEpochMs } from '../../../src/server/tls/ticket-keys.ts'
import { TlsFileError } from '../../../src/server/tls/tls-files.ts'
import { needsOpenssl, type Pki } from '../../support/pki.ts'
import { hourMs, openTlsScene, type TlsScene, tlsFiles, writeScene } from './tls-scene.ts'

describe('ticket keys', needsOpenssl, () => {
  let scene: TlsScene
  let pki: Pki
  let secret: string
  const startMs = Math.ceil(Date.now() / (12 * hourMs)) * 12 * hourMs
  before(async () => {
    scene = await openTlsScene()
    pki = scene.pki
    secret = await writeScene(scene, randomBytes(32))
  })
  after(() => scene.close())

  async function keys(over: Partial<TlsConfig>, atMs: number = startMs): Promise<string> {
    const { ticketKeys } = await loadTlsMaterial(tlsFiles(scene, over), () => atMs)
    return Buffer.from(ticketKeys).toString('hex')
  }

  test('are random without a secret', async () => {
    assert.notEqual(await keys({}), await keys({}))
  })

  test('are equal wherever the secret, the CAs and the lists are equal', async () => {
    const { file } = await pki.clientCa.crl({ nextUpdate: new Date(startMs + 48 * hourMs) })
    const over: Partial<TlsConfig> = {
      sessionTicketSecret: secret,
      clientCaBundle: pki.clientCa.certificateFile,
      clientCrls: [file],
    }
    const first = await keys(over)
    assert.equal(first.length, 96)
    assert.equal(await keys(over, startMs + 11 * hourMs), first)
    const renewed = await pki.serverCa.serverCertificate()
    const server = {
      serverCertificateBundle: renewed.bundleFile,
      serverPrivateKey: renewed.keyFile,
    }
    assert.equal(await keys({ ...over, ...server }), first)
  })

  test('change with every part of them, and with time', async () => {
    const nextUpdate = new Date(startMs + 48 * hourMs)
    const list = await pki.clientCa.crl({ nextUpdate })
    await pki.clientCa.revoke(await pki.clientCa.clientCertificate())
    const later = await pki.clientCa.crl({ nextUpdate })
    const other = await pki.authority('Other CA')
    const clientCaBundle = pki.clientCa.certificateFile
    const base = { sessionTicketSecret: secret, clientCaBundle }
    const sets: readonly Partial<TlsConfig>[] = [
      { sessionTicketSecret: secret },
      { ...base, sessionTicketSecret: await writeScene(scene, randomBytes(32)) },
      base,
      { ...base, clientAuth: 'required' },
      { ...base, clientCaBundle: await writeScene(scene, pki.clientCa.pem + other.pem) },
      { ...base, clientCrls: [list.file] },
      { ...base, clientCrls: [later.file] },
    ]
    const all: string[] = [await keys(base, startMs + 12 * hourMs)]
    for (const set of sets) all.push(await keys(set))
    assert.equal(new Set(all).size, sets.length + 1)
  })

  test('without a secret survive a reload, and are forgotten with their epoch', async () => {
    const secrets = new TicketSecrets()
    const files = tlsFiles(scene)
    const first = await loadTls(files, () => startMs, secrets)
    const second = await loadTls(files, () => startMs + hourMs, secrets)
    assert.deepEqual(second.material.ticketKeys, first.material.ticketKeys)
    const epoch = ticketEpoch(files.sessionTimeoutSeconds, startMs)
    assert.deepEqual(first.withKeysOf(epoch).ticketKeys, first.material.ticketKeys)
    const next = second.withKeysOf(epoch + 1).ticketKeys
    assert.notDeepEqual(next, first.material.ticketKeys)
    assert.notDeepEqual(second.withKeysOf(epoch).ticketKeys, first.material.ticketKeys)
  })

  test('of processes with the same seed are the same, whenever those started', () => {
    const seed = new TicketSecrets().seedFor(100)
    const [early, late] = [new TicketSecrets(seed), new TicketSecrets(seed)]
    const first = early.secretFor(100, undefined)
    assert.deepEqual(late.secretFor(100, undefined), first)
    early.secretFor(101, undefined)
    const third = early.secretFor(102, undefined)
    assert.deepEqual(late.secretFor(102, undefined), third)
    const successor = new TicketSecrets(late.seedFor(102))
    assert.deepEqual(successor.secretFor(103, undefined), early.secretFor(103, undefined))
    assert.notDeepEqual(third, first)
    // What was is not found again, nor does it take long to go far.
    assert.notDeepEqual(early.secretFor(100, undefined), first)
    late.secretFor(103, undefined)
    assert.deepEqual(late.secretFor(100, undefined), early.secretFor(100, undefined))
    assert.deepEqual(late.secretFor(1e9, undefined), early.secretFor(1e9, undefined))
  })

  test('are used as long as a session lasts, between an hour and a day', () => {
    assert.equal(ticketEpochMs(60), hourMs)
    assert.equal(ticketEpochMs(12 * 3600), 12 * hourMs)
    assert.equal(ticketEpochMs(7 * 24 * 3600), 24 * hourMs)
  })

  test('come from no short secret, and none that others can read or change', async () => {
    const refuses = (sessionTicketSecret: string, reason: RegExp) =>
      assert.rejects(keys({ sessionTicketSecret }), (error: unknown) => {
        assert.ok(error instanceof TlsFileError)
        assert.match(error.message, reason)
        return true
      })
    await refuses(await writeScene(scene, randomBytes(31)), /31 bytes; put 32 random bytes/)
    const open = await writeScene(scene, randomBytes(32))
    for (const mode of [0o604, 0o602, 0o620]) {
      await chmod(open, mode)
      await refuses(open, new RegExp(`its mode is ${mode.toString(8)}`))
    }
    await chmod(open, 0o640)
    await keys({ sessionTicketSecret: open })
  })
})
