// Gives the native library exactly the certificate and key that were checked. It reads files by name,
// so they are put into files that have none any more.

import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  rmdirSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

// In memory on every Linux; elsewhere the temporary folder, where the file is nameless before a key is in it.
const memoryFolder = '/dev/shm'

export interface KeyFiles {
  readonly certificate: string
  readonly key: string
}

/** `use` must have read them when it returns. Errors: those of the file system. */
export function withKeyFiles<T>(
  certificatePem: string,
  keyPem: string,
  use: (files: KeyFiles) => T,
): T {
  const certificate = openNameless()
  try {
    const key = openNameless()
    try {
      writeSync(certificate, certificatePem)
      writeSync(key, keyPem)
      return use({ certificate: nameOf(certificate), key: nameOf(key) })
    } finally {
      ftruncateSync(key)
      closeSync(key)
    }
  } finally {
    closeSync(certificate)
  }
}

function nameOf(descriptor: number): string {
  return `/proc/self/fd/${descriptor}`
}

function openNameless(): number {
  try {
    return openIn(memoryFolder)
  } catch {
    return openIn(tmpdir())
  }
}

// The folder is ours alone, so that nobody can open the file in the moment that it has a name.
function openIn(parent: string): number {
  const folder = mkdtempSync(join(parent, 'keelson-pem-'))
  try {
    const file = join(folder, 'pem')
    const descriptor = openSync(file, 'wx+', 0o600)
    unlinkSync(file)
    return descriptor
  } finally {
    rmdirSync(folder)
  }
}
