// What the tests of TLS on the node adapter share: real files through the product's loader, and
// clients that say who the server takes them for.

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import type { TlsMaterial } from '../../../src/server/tls/contract.ts'
import { defaultCiphers, loadTls } from '../../../src/server/tls/load.ts'
import { TicketSecrets } from '../../../src/server/tls/ticket-keys.ts'
import type { TlsFiles } from '../../../src/server/tls/tls-files.ts'
import type { Exchange, TransportOptions } from '../../../src/server/transport/exchange.ts'
import { listenNode } from '../../../src/server/transport/node/listen.ts'
import {
  requestHead,
  type SceneHandler,
  type TransportScene,
  whole,
  withTransport,
} from '../../contract/transport-scene.ts'
import { type Certificate, createPki, type Pki } from '../../support/pki.ts'
import type { RawConnection } from '../../support/raw-http.ts'
import { until } from '../../support/until.ts'

export const versions = ['TLSv1.2', 'TLSv1.3'] as const
export type Version = (typeof versions)[number]

export interface TrustOptions {
  readonly mode?: 'optional' | 'required'
  /** File of the trusted CAs; default the client CA's. */
  readonly ca?: string
  readonly crls?: readonly string[]
  readonly over?: Partial<TlsFiles>
}

/** One PKI for the tests of a `describe`. */
export class TlsScene {
  #pki: Pki | undefined
  #folder = ''
  // One secret, so that ticket keys differ with what they are derived from and with nothing else.
  readonly #secrets = new TicketSecrets()

  get pki(): Pki {
    assert.ok(this.#pki, 'the certificates are there between the hooks only')
    return this.#pki
  }

  /** As the product loads it; without `trust` no client is asked for a certificate. */
  async material(trust?: TrustOptions): Promise<TlsMaterial> {
    const { pki } = this
    const files: TlsFiles = {
      serverCertificateBundle: pki.server.bundleFile,
      serverPrivateKey: pki.server.keyFile,
      passphrase: undefined,
      clientCaBundle: trust === undefined ? undefined : (trust.ca ?? pki.clientCa.certificateFile),
      clientAuth: trust?.mode ?? 'optional',
      clientCrls: trust?.crls ?? [],
      ocspResponse: undefined,
      minVersion: 'TLSv1.2',
      ciphers: defaultCiphers,
      sessionTimeoutSeconds: 3600,
      sessionTicketSecret: undefined,
      ...trust?.over,
    }
    return (await loadTls(files, Date.now, this.#secrets)).material
  }

  async open(): Promise<void> {
    this.#folder = await mkdtemp(join(tmpdir(), 'keelson-node-tls-'))
    this.#pki = await createPki(this.#folder)
  }

  async close(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** Called in a `describe`. */
export function useTlsScene(): TlsScene {
  const scene = new TlsScene()
  before(() => scene.open())
  after(() => scene.close())
  return scene
}

/** Answers with the client's certificate as JSON. */
export function tellsCertificate(exchange: Exchange): void {
  exchange.send(whole(JSON.stringify(exchange.certificate ?? null)))
}

export function withListener(
  tls: TlsMaterial,
  run: (scene: TransportScene) => Promise<void>,
  overrides: Partial<TransportOptions> = {},
  handler: SceneHandler = tellsCertificate,
): Promise<void> {
  return withTransport(listenNode, handler, run, { tls, ...overrides })
}

/** TLS options of a client that speaks one version and shows a certificate. */
export function clientOptions(version: Version, shown?: Certificate): ConnectionOptions {
  const identity = shown === undefined ? {} : { cert: shown.bundlePem, key: shown.keyPem }
  return { minVersion: version, maxVersion: version, ...identity }
}

/** The CNs that the server sees, or 'nobody'; undefined where the connection ends without a byte. */
export async function seenAs(client: RawConnection): Promise<string | undefined> {
  client.write(requestHead('GET', '/'))
  await until('a reply or the end', () => client.isOver || client.pendingBytes > 0)
  if (client.pendingBytes === 0) return undefined
  const certificate: { commonNames: string[] } | null = JSON.parse(
    (await client.reply()).body.toString(),
  )
  return certificate?.commonNames.join(' ') ?? 'nobody'
}

/** As `seenAs`, for a connection that may not get as far as to be open. */
export async function admittedAs(
  { open }: TransportScene,
  tls: ConnectionOptions,
): Promise<string | undefined> {
  const client = await open({ tls }).catch(() => undefined)
  return client === undefined ? undefined : seenAs(client)
}

/** What the client needs in order to resume, once it has had a reply. */
export async function sessionOf(client: RawConnection): Promise<Buffer> {
  const socket = client.socket as TLSSocket
  let session = socket.getProtocol() === 'TLSv1.2' ? socket.getSession() : undefined
  socket.once('session', (given) => {
    session = given
  })
  await seenAs(client)
  await until('a session', () => session !== undefined)
  assert.ok(session)
  return session
}

export function isResumed(client: RawConnection): boolean {
  return (client.socket as TLSSocket).isSessionReused()
}
