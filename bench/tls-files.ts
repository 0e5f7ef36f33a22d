// The certificates of a run: the same chain and keys (P-256) for every server and client in it.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPki } from '../test/support/pki.ts'
import { atEnd } from './children.ts'
import type { Edge, TlsFiles } from './contract.ts'

let made: Promise<TlsFiles> | undefined

async function make(): Promise<TlsFiles> {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-bench-tls-'))
  atEnd(() => rmSync(folder, { recursive: true, force: true }))
  const { server, client, serverCa, clientCa } = await createPki(folder)
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

/** What `edge` needs; undefined for plain HTTP. Errors: Error where openssl is absent. */
export async function tlsFilesFor(edge: Edge): Promise<TlsFiles | undefined> {
  if (edge === 'plain') return undefined
  made ??= make()
  const all = await made
  if (edge === 'mtls') return all
  return {
    ...all,
    clientCaFile: edge === 'optional' ? all.clientCaFile : undefined,
    clientAuth: 'optional',
    credentials: { caFile: all.credentials.caFile, client: undefined },
  }
}
