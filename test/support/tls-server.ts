// Answers for the product over TLS in black-box tests: a PKI for the tests of a file, and servers
// with a plain listener, for looking into the store, beside the TLS one that is tested.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { type Certificate, createPki, type Pki } from './pki.ts'
import { type ClientTls, RegistryClient } from './registry-client.ts'
import { type Server, type ServerOptions, startServer } from './server.ts'

export interface TlsOptions extends Omit<ServerOptions, 'listeners'> {
  /** Whether the client CA is configured, and how; by default it is not, and uws serves. */
  readonly clientAuth?: 'optional' | 'required'
  /** Further lines of `[server.tls]`; they may name other files than the PKI's. */
  readonly tls?: Readonly<Record<string, string | readonly string[]>>
  /** Further lines of the TLS listener. */
  readonly listener?: string
}

/** `[server.tls]` with the PKI's files. */
export function tlsTable(pki: Pki, options: Pick<TlsOptions, 'clientAuth' | 'tls'> = {}): string {
  const { clientAuth, tls } = options
  const values = {
    server_certificate_bundle: pki.server.bundleFile,
    server_private_key: pki.server.keyFile,
    ...(clientAuth && { client_ca_bundle: pki.clientCa.certificateFile, client_auth: clientAuth }),
    ...tls,
  }
  const lines = Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}`)
  return ['[server.tls]', ...lines, ''].join('\n')
}

export interface TlsServer {
  readonly server: Server
  /** Of the TLS listener; `localhost` is in its certificate. */
  readonly port: number
  readonly host: string
  readonly url: string
}

/** Start the product with a plain listener and a TLS one, both on free loopback ports. */
export async function startTlsServer(pki: Pki, options: TlsOptions = {}): Promise<TlsServer> {
  const { clientAuth, tls, listener = '', toml = '', ...rest } = options
  const server = await startServer({
    ...rest,
    listeners: ['tls = false', `tls = true\n${listener}`],
    toml: `${tlsTable(pki, { ...(clientAuth && { clientAuth }), ...(tls && { tls }) })}${toml}`,
  })
  const port = server.listeners.find((each) => each.tls)?.port
  assert.ok(port, 'the product serves no TLS listener')
  const host = `localhost:${port}`
  return { server, port, host, url: `https://${host}` }
}

/** SIGTERM; it must end by itself. */
export async function stopServer(server: Server): Promise<void> {
  const exit = await server.stop()
  assert.deepEqual(exit, { code: 0, signal: null }, server.log.slice(-20).join('\n'))
}

export interface PkiScene {
  /** A folder that goes with the tests. Short, since unix sockets may be in it. */
  readonly dir: string
  readonly pki: Pki
}

/** Called in a file or a `describe`: one PKI for its tests. */
export function usePki(): PkiScene {
  const dir = mkdtempSync(join(tmpdir(), 'keel-'))
  let pki: Pki | undefined
  before(async () => {
    pki = await createPki(join(dir, 'pki'))
  })
  after(() => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }))
  return {
    dir,
    get pki() {
      assert.ok(pki, 'the PKI lives between the hooks only')
      return pki
    },
  }
}

/** Called in a `describe`: starts a server before its tests and ends it after them. */
export function useTlsServer(scene: PkiScene, options: () => TlsOptions): { get(): TlsServer } {
  let running: TlsServer | undefined
  before(async () => {
    running = await startTlsServer(scene.pki, options())
  })
  after(async () => {
    if (running !== undefined) await stopServer(running.server)
  })
  return {
    get() {
      assert.ok(running, 'the server runs between the hooks only')
      return running
    },
  }
}

/** What a client of this PKI's server trusts, and shows where `certificate` is given. */
export function clientTls(pki: Pki, certificate?: Certificate): ClientTls {
  const { pem: ca } = pki.serverCa
  return certificate ? { ca, cert: certificate.bundlePem, key: certificate.keyPem } : { ca }
}

export function secureClient(
  pki: Pki,
  { url }: Pick<TlsServer, 'url'>,
  certificate?: Certificate,
): RegistryClient {
  return new RegistryClient(url, clientTls(pki, certificate))
}
