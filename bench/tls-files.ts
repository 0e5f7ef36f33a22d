// The certificates of a run: the same chain and keys for every server and client in it.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPki, type KeyKind } from '../test/support/pki.ts'
import { atEnd } from './children.ts'
import type { Scenario, TlsFiles } from './contract.ts'

const made = new Map<KeyKind, Promise<TlsFiles>>()

async function make(key: KeyKind): Promise<TlsFiles> {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-bench-tls-'))
  atEnd(() => rmSync(folder, { recursive: true, force: true }))
  const { client, serverCa, clientCa } = await createPki(folder)
  const server = await serverCa.serverCertificate({ key })
  return {
    certificateFile: server.bundleFile,
    keyFile: server.keyFile,
    clientCaFile: clientCa.certificateFile,
    clientAuth: 'required',
    credentials: {
      caFile: serverCa.certificateFile,
      client: { certificateFile: client.bundleFile, keyFile: client.keyFile },
    },
  }
}

/** What a scenario needs; undefined for plain HTTP. Errors: Error where openssl is absent. */
export async function tlsFilesFor({
  edge,
  key,
}: Pick<Scenario, 'edge' | 'key'>): Promise<TlsFiles | undefined> {
  if (edge === 'plain') return undefined
  const kind: KeyKind = key ?? 'p256'
  const making = made.get(kind) ?? make(kind)
  made.set(kind, making)
  const all = await making
  if (edge === 'mtls') return all
  return {
    ...all,
    clientCaFile: edge === 'optional' ? all.clientCaFile : undefined,
    clientAuth: 'optional',
    credentials: { caFile: all.credentials.caFile, client: undefined },
  }
}
