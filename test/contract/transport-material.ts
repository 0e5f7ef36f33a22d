// What TLS listeners of the transport contract are given: certificates of an authority made for it.

import assert from 'node:assert/strict'
import { randomBytes, X509Certificate } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import type { TlsMaterial } from '../../src/server/tls/contract.ts'
import { defaultCiphers, loadTlsMaterial } from '../../src/server/tls/load.ts'
import type { TlsFiles } from '../../src/server/tls/tls-files.ts'
import { type Certificate, createPki, type Pki } from '../support/pki.ts'

/** What the product's loader makes of a certificate that the tests made. */
export function loadMaterial(
  certificate: Pick<Certificate, 'bundleFile' | 'keyFile'>,
  more: Partial<TlsFiles> = {},
): Promise<TlsMaterial> {
  const files: TlsFiles = {
    serverCertificateBundle: certificate.bundleFile,
    serverPrivateKey: certificate.keyFile,
    passphrase: undefined,
    clientCaBundle: undefined,
    clientAuth: 'optional',
    clientCrls: [],
    ocspResponse: undefined,
    minVersion: 'TLSv1.2',
    ciphers: undefined,
    sessionTimeoutSeconds: 3600,
    sessionTicketSecret: undefined,
    ...more,
  }
  return loadTlsMaterial(files, Date.now)
}

/** Put together by hand, so that every part of it can be wrong. */
export function materialOf(
  certificate: Pick<Certificate, 'bundlePem' | 'keyPem'>,
  more: Partial<TlsMaterial> = {},
): TlsMaterial {
  const leaf = new X509Certificate(certificate.bundlePem)
  return {
    certificateBundle: certificate.bundlePem,
    privateKey: certificate.keyPem,
    notAfterMs: Date.parse(leaf.validTo),
    names: ['localhost', '127.0.0.1'],
    minVersion: 'TLSv1.2',
    ciphers: defaultCiphers,
    clientAuth: undefined,
    ticketKeys: randomBytes(48),
    sessionTimeoutSeconds: 3600,
    ocspResponse: undefined,
    ...more,
  }
}

/** Certificates for the cases of one `describe`. */
export class Materials {
  #pki: Pki | undefined
  #server: TlsMaterial | undefined

  get pki(): Pki {
    assert.ok(this.#pki, 'the certificates are there between the hooks only')
    return this.#pki
  }

  /** The same for every case, so that a listener can be told from its successor by its certificate. */
  get server(): TlsMaterial {
    assert.ok(this.#server, 'the certificates are there between the hooks only')
    return this.#server
  }

  /** Another certificate for the same names. */
  async other(): Promise<TlsMaterial> {
    return loadMaterial(await this.pki.serverCa.serverCertificate())
  }

  async make(folder: string): Promise<void> {
    this.#pki = await createPki(folder)
    this.#server = await loadMaterial(this.#pki.server)
  }
}

/** Called in a `describe`: makes the certificates before its tests and removes them after. */
export function useMaterials(): Materials {
  const materials = new Materials()
  let folder: string | undefined
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keelson-contract-'))
    await materials.make(folder)
  })
  after(async () => {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
  })
  return materials
}
