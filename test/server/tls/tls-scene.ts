// Answers for TLS files in tests: a real set in a folder, and the configuration that names it.
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TlsConfig } from '../../../src/config/schema.ts'
import { type TlsFiles, tlsFilesOf } from '../../../src/server/tls/tls-files.ts'
import { createPki, type Pki } from '../../support/pki.ts'

export const hourMs = 3_600_000
export const dayMs: number = 24 * hourMs

export interface TlsScene {
  readonly folder: string
  readonly pki: Pki
  close(): Promise<void>
}

export async function openTlsScene(): Promise<TlsScene> {
  const folder = await mkdtemp(join(tmpdir(), 'keelson-tls-'))
  const pki = await createPki(join(folder, 'pki'))
  return { folder, pki, close: () => rm(folder, { recursive: true }) }
}

/** The server certificate of the scene, without client certificates. */
export function tlsConfig({ pki }: TlsScene, over: Partial<TlsConfig> = {}): TlsConfig {
  return {
    serverCertificateBundle: pki.server.bundleFile,
    serverPrivateKey: pki.server.keyFile,
    privateKeyPassphrase: undefined,
    clientCaBundle: undefined,
    clientAuth: 'optional',
    clientCrls: [],
    minVersion: 'TLSv1.2',
    ciphers: undefined,
    sessionTimeoutMs: 12 * hourMs,
    sessionTicketSecret: undefined,
    ocspResponse: undefined,
    ...over,
  }
}

export function tlsFiles(scene: TlsScene, over: Partial<TlsConfig> = {}): TlsFiles {
  return tlsFilesOf(tlsConfig(scene, over))
}

/** A copy of the files in a folder of its own, for tests that change them. */
export async function ownFiles(
  scene: TlsScene,
  name: string,
): Promise<{ readonly certificate: string; readonly key: string; readonly folder: string }> {
  const folder = await mkdtemp(join(scene.folder, name))
  const certificate = join(folder, 'tls.crt')
  const key = join(folder, 'tls.key')
  await copyFile(scene.pki.server.bundleFile, certificate)
  await copyFile(scene.pki.server.keyFile, key)
  return { certificate, key, folder }
}

let count = 0

/** A new file of the scene with this content. */
export async function writeScene(
  { folder }: TlsScene,
  content: string | Uint8Array,
  mode = 0o600,
): Promise<string> {
  count += 1
  const path = join(folder, `written-${count}`)
  await writeFile(path, content, { mode })
  return path
}
