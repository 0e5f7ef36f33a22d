// Goal: a running server takes new TLS files when all of them are good, keeps the old ones otherwise,
// and tells in time what will end. Method: real files, a clock that the test moves.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { copyFile, mkdir, readlink, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { TlsConfig } from '../../../src/config/schema.ts'
import type { TlsMaterial } from '../../../src/server/tls/contract.ts'
import { type KeeperClock, keepTls, type TlsKeeper } from '../../../src/server/tls/keep.ts'
import { TlsFileError } from '../../../src/server/tls/tls-files.ts'
import { type Certificate, needsOpenssl, type Pki } from '../../support/pki.ts'
import { until } from '../../support/until.ts'
import {
  dayMs,
  hourMs,
  openTlsScene,
  ownFiles,
  type TlsScene,
  tlsConfig,
  writeScene,
} from './tls-scene.ts'

const pollMs = 30_000
const debounceMs = 100

describe('the TLS keeper', needsOpenssl, () => {
  let scene: TlsScene
  let pki: Pki
  const open: TlsKeeper[] = []
  before(async () => {
    scene = await openTlsScene()
    pki = scene.pki
  })
  after(async () => {
    for (const keeper of open) await keeper.close()
    await scene.close()
  })

  async function kept(over: Partial<TlsConfig> = {}) {
    const clock = new HandClock()
    const log = new Lines()
    const keeper = await keepTls(tlsConfig(scene, over), log, clock)
    open.push(keeper)
    const renewals: TlsMaterial[] = []
    keeper.onRenew((material) => void renewals.push(material))
    return { keeper, clock, log, renewals }
  }

  async function keptCopy() {
    const files = await ownFiles(scene, 'keep-')
    const { certificate, key } = files
    const over = { serverCertificateBundle: certificate, serverPrivateKey: key }
    return { ...(await kept(over)), ...files }
  }

  /** What a watch has noticed is read after the debounce. */
  async function afterWatch(clock: HandClock): Promise<void> {
    await until('a change is noticed', () => clock.waits(debounceMs))
    clock.advance(debounceMs)
  }

  test('does not start with files that are not good', async () => {
    const over = { serverPrivateKey: pki.client.keyFile }
    await assert.rejects(
      keepTls(tlsConfig(scene, over), new Lines(), new HandClock()),
      TlsFileError,
    )
  })

  test('takes files that were written again', async () => {
    const { keeper, clock, log, renewals, certificate, key } = await keptCopy()
    const first = keeper.material
    const next = await pki.serverCa.serverCertificate()
    await replace(key, next.keyPem)
    await replace(certificate, next.bundlePem)
    await afterWatch(clock)
    await until('the new files are taken', () => keeper.status().reloads === 1)
    assert.equal(renewals.length, 1)
    assert.equal(keeper.material, renewals[0])
    assert.equal(keeper.material.certificateBundle, next.pem)
    assert.deepEqual(keeper.material.ticketKeys, first.ticketKeys)
    assert.equal(keeper.status().lastReloadSuccessful, true)
    assert.match(log.text(), /info: took new TLS files/)
  })

  test('takes the files behind a swapped folder link, as Kubernetes swaps it', async () => {
    const folder = await ownFolder('kubernetes')
    const version = async (name: string, { bundlePem, keyPem }: Certificate): Promise<void> => {
      await mkdir(join(folder, name))
      await writeFile(join(folder, name, 'tls.crt'), bundlePem)
      await writeFile(join(folder, name, 'tls.key'), keyPem)
      await symlink(name, join(folder, '..next'))
      await rename(join(folder, '..next'), join(folder, '..data'))
    }
    await version('..1', pki.server)
    for (const name of ['tls.crt', 'tls.key']) await symlink(`..data/${name}`, join(folder, name))
    const { keeper, clock } = await kept({
      serverCertificateBundle: join(folder, 'tls.crt'),
      serverPrivateKey: join(folder, 'tls.key'),
    })
    for (const round of [2, 3]) {
      const next = await pki.serverCa.serverCertificate()
      await version(`..${round}`, next)
      assert.equal(await readlink(join(folder, '..data')), `..${round}`)
      await afterWatch(clock)
      await until('the new version is taken', () => keeper.status().reloads === round - 1)
      assert.equal(keeper.material.certificateBundle, next.pem)
    }
    assert.equal(keeper.status().reloadFailures, 0)
  })

  test('follows a link to another folder, and what is written there later', async () => {
    const folder = await ownFolder('live')
    const archives = [await ownFiles(scene, 'one-'), await ownFiles(scene, 'two-')] as const
    const link = async (index: 0 | 1): Promise<void> => {
      for (const name of ['certificate', 'key'] as const) {
        await symlink(archives[index][name], join(folder, `${name}.next`))
        await rename(join(folder, `${name}.next`), join(folder, name))
      }
    }
    await link(0)
    const { keeper, clock } = await kept({
      serverCertificateBundle: join(folder, 'certificate'),
      serverPrivateKey: join(folder, 'key'),
    })
    for (const [index, write] of [
      [1, () => link(1)],
      [2, () => Promise.resolve()],
    ] as const) {
      const next = await pki.serverCa.serverCertificate()
      await writeFile(archives[1].certificate, next.bundlePem)
      await writeFile(archives[1].key, next.keyPem)
      await write()
      await afterWatch(clock)
      await until('the new files are taken', () => keeper.status().reloads === index)
      assert.equal(keeper.material.certificateBundle, next.pem)
    }
  })

  test('keeps the old set while a new one is half written', async () => {
    const { keeper, clock, log, renewals, certificate, key } = await keptCopy()
    const first = keeper.material
    const next = await pki.serverCa.serverCertificate()
    await writeFile(certificate, next.bundlePem.slice(0, 300))
    await afterWatch(clock)
    await until('the half is refused', () => keeper.status().reloadFailures === 1)
    assert.match(log.text(), /error: .*old ones stay: .*tls.crt: a PEM block in it is cut off/)
    await writeFile(certificate, next.bundlePem)
    await afterWatch(clock)
    await until('the other key is refused', () => keeper.status().reloadFailures === 2)
    assert.match(log.text(), /tls.key: the key does not fit/)
    assert.equal(keeper.status().lastReloadSuccessful, false)
    assert.equal(keeper.material, first)
    await writeFile(key, next.keyPem)
    await afterWatch(clock)
    await until('the whole set is taken', () => keeper.status().reloads === 1)
    assert.equal(renewals.length, 1)
    assert.equal(keeper.status().lastReloadSuccessful, true)
  })

  test('renews nothing where nothing has changed', async () => {
    const { keeper, renewals, certificate, log } = await keptCopy()
    await replace(certificate, pki.server.bundlePem)
    assert.equal(await keeper.reload(), true)
    assert.equal(renewals.length, 0)
    assert.equal(keeper.status().reloads, 0)
    assert.equal(log.text(), '')
  })

  test('sees by its poll what no watch told', async () => {
    const { keeper, clock, certificate, key } = await keptCopy()
    const next = await pki.serverCa.serverCertificate()
    await replace(key, next.keyPem)
    await replace(certificate, next.bundlePem)
    // The debounce never runs.
    clock.advance(pollMs, [pollMs])
    await until('the poll has taken them', () => keeper.status().reloads === 1)
  })

  test('tries again by itself after a failure, and says it once', async () => {
    const over = { clientCaBundle: pki.clientCa.certificateFile }
    const { keeper, clock, log } = await kept(over)
    const { file } = await pki.clientCa.crl({ thisUpdate: new Date(clock.now() + pollMs * 1.5) })
    const config = tlsConfig(scene, { ...over, clientCrls: [file] })
    assert.equal(await keeper.reload(config), false)
    clock.advance(pollMs)
    await until('it has tried again', () => keeper.status().reloadFailures === 2)
    assert.equal(log.lines.filter((line) => /check the clock/.test(line)).length, 1)
    clock.advance(pollMs)
    await until('time has come', () => keeper.status().reloads === 1)
    assert.equal(keeper.material.clientAuth?.crls.length, 1)
  })

  test('counts as a failure what a listener does not take', async () => {
    const { keeper, log, certificate, key } = await keptCopy()
    const first = keeper.material
    let isBroken = true
    keeper.onRenew(async () => {
      if (isBroken) throw new Error('not with me')
    })
    const next = await pki.serverCa.serverCertificate()
    await replace(key, next.keyPem)
    await replace(certificate, next.bundlePem)
    assert.equal(await keeper.reload(), false)
    assert.match(log.text(), /error: .*not with me/)
    assert.equal(keeper.material, first)
    isBroken = false
    assert.equal(await keeper.reload(), true)
    assert.equal(keeper.material.certificateBundle, next.pem)
  })

  test('runs one reload after another, and one more for what came meanwhile', async () => {
    const { keeper, certificate, key } = await keptCopy()
    const order: string[] = []
    let finish: () => void = () => undefined
    keeper.onRenew(async ({ certificateBundle }) => {
      order.push(`begin ${certificateBundle.length}`)
      await new Promise<void>((resolve) => {
        finish = resolve
      })
      order.push('end')
    })
    const write = async ({ bundlePem, keyPem }: Certificate): Promise<void> => {
      await replace(key, keyPem)
      await replace(certificate, bundlePem)
    }
    await write(await pki.serverCa.serverCertificate())
    const first = keeper.reload()
    await until('the first is under way', () => order.length === 1)
    await write(await pki.serverCa.serverCertificate({ key: 'rsa' }))
    const second = keeper.reload()
    const third = keeper.reload()
    assert.equal(second, third)
    finish()
    assert.equal(await first, true)
    await until('the second is under way', () => order.length === 3)
    finish()
    assert.equal(await second, true)
    assert.deepEqual(
      order.map((line) => line.split(' ')[0]),
      ['begin', 'end', 'begin', 'end'],
    )
    assert.equal(keeper.status().reloads, 2)
  })

  test('gives a late listener what was renewed before it came', async () => {
    const { keeper, certificate, key } = await keptCopy()
    const next = await pki.serverCa.serverCertificate()
    await replace(key, next.keyPem)
    await replace(certificate, next.bundlePem)
    await keeper.reload()
    const late: TlsMaterial[] = []
    keeper.onRenew((material) => void late.push(material))
    await until('it was called', () => late.length === 1)
    assert.equal(late[0], keeper.material)
  })

  test('changes ticket keys with their epoch, on every host at the same time', async () => {
    const sessionTicketSecret = await writeScene(scene, randomBytes(32))
    const hosts = [await kept({ sessionTicketSecret }), await kept({ sessionTicketSecret })]
    const keys = () =>
      hosts.map(({ keeper }) => Buffer.from(keeper.material.ticketKeys).toString('hex'))
    const [before] = keys()
    assert.deepEqual(keys(), [before, before])
    for (const { clock } of hosts) clock.advance(12 * hourMs - (clock.now() % (12 * hourMs)))
    await until('all have other keys', () => hosts.every(({ renewals }) => renewals.length === 1))
    const [next] = keys()
    assert.deepEqual(keys(), [next, next])
    assert.notEqual(next, before)
    assert.equal(hosts[0]?.keeper.status().reloads, 0)
  })

  test('warns two weeks before the certificate expires, once a day', async () => {
    const { keeper, clock, log } = await kept()
    const expiring = () => log.lines.filter((line) => /^warn: .* expires at/.test(line)).length
    clock.advance(16.5 * dayMs)
    await until('the warning is there', () => expiring() === 1)
    clock.advance(dayMs / 2)
    assert.equal(await keeper.reload(), true)
    assert.equal(expiring(), 1)
    clock.advance(dayMs / 2)
    await until('it is repeated', () => expiring() === 2)
    clock.advance(15 * dayMs)
    await until('it has expired', () => /error: .* expired at/.test(log.text()))
  })

  test('warns before a revocation list ends, and calls its end an error', async () => {
    const { file } = await pki.clientCa.crl({ nextUpdate: new Date(Date.now() + 8 * hourMs) })
    const clientCaBundle = pki.clientCa.certificateFile
    const { keeper, clock, log } = await kept({ clientCaBundle, clientCrls: [file] })
    assert.ok(Math.abs((keeper.status().crlNextUpdateMs ?? 0) - clock.now() - 8 * hourMs) < 60_000)
    clock.advance(5 * hourMs)
    assert.equal(await keeper.reload(), true)
    assert.equal(log.text(), '')
    clock.advance(hourMs + 60_000)
    await until('the warning is there', () => /warn: the revocation list/.test(log.text()))
    clock.advance(2 * hourMs)
    await until('the error is there', () => /error: .* is refused until a new one/.test(log.text()))
    const next = await pki.clientCa.crl({ nextUpdate: new Date(clock.now() + 8 * hourMs) })
    await copyFile(next.file, file)
    assert.equal(await keeper.reload(), true)
    assert.equal(keeper.status().lastReloadSuccessful, true)
  })

  test('staples no OCSP response that has ended', async () => {
    const { file } = await pki.serverCa.ocspResponse(pki.server, { minutes: 60 })
    const { keeper, clock, log } = await kept({ ocspResponse: file })
    assert.ok(keeper.material.ocspResponse)
    clock.advance(hourMs + 60_000)
    await until('it is gone', () => keeper.material.ocspResponse === undefined)
    assert.match(log.text(), /error: .* not stapled any more/)
  })

  test('does nothing after its end', async () => {
    const { keeper, clock, renewals, certificate, key } = await keptCopy()
    await keeper.close()
    const next = await pki.serverCa.serverCertificate()
    await replace(key, next.keyPem)
    await replace(certificate, next.bundlePem)
    assert.equal(await keeper.reload(), false)
    assert.equal(clock.isIdle, true)
    assert.equal(renewals.length, 0)
  })

  async function ownFolder(name: string): Promise<string> {
    const folder = join(scene.folder, name)
    await mkdir(folder)
    return folder
  }
})

async function replace(path: string, content: string): Promise<void> {
  await writeFile(`${path}.new`, content)
  await rename(`${path}.new`, path)
}

interface Alarm {
  atMs: number
  readonly delayMs: number
  readonly isRepeated: boolean
  readonly action: () => void
}

/** Begins now; moves only by `advance`. */
class HandClock implements KeeperClock {
  #nowMs = Date.now()
  readonly #alarms = new Set<Alarm>()

  now = (): number => this.#nowMs

  after = (delayMs: number, action: () => void): (() => void) => this.#add(delayMs, false, action)

  every = (delayMs: number, action: () => void): (() => void) => this.#add(delayMs, true, action)

  get isIdle(): boolean {
    return this.#alarms.size === 0
  }

  waits(delayMs: number): boolean {
    return [...this.#alarms].some((alarm) => alarm.delayMs === delayMs)
  }

  /** Each alarm that is due goes off once; with `only`, those of these delays. */
  advance(ms: number, only?: readonly number[]): void {
    this.#nowMs += ms
    for (const alarm of [...this.#alarms]) {
      if (alarm.atMs > this.#nowMs || !(only?.includes(alarm.delayMs) ?? true)) continue
      if (alarm.isRepeated) alarm.atMs = this.#nowMs + alarm.delayMs
      else this.#alarms.delete(alarm)
      alarm.action()
    }
  }

  #add(delayMs: number, isRepeated: boolean, action: () => void): () => void {
    const alarm = { atMs: this.#nowMs + delayMs, delayMs, isRepeated, action }
    this.#alarms.add(alarm)
    return () => void this.#alarms.delete(alarm)
  }
}

/** A log that keeps what it is told. */
class Lines {
  readonly lines: string[] = []

  text(): string {
    return this.lines.join('\n')
  }

  info = (...args: readonly unknown[]): void => this.#add('info', args)
  warn = (...args: readonly unknown[]): void => this.#add('warn', args)
  error = (...args: readonly unknown[]): void => this.#add('error', args)

  #add(level: string, args: readonly unknown[]): void {
    this.lines.push(`${level}: ${String(args.at(-1))}`)
  }
}
