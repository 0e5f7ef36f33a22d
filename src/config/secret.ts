// A value that must not be seen: what it prints as, and the places from which it is read.
import { isUtf8 } from 'node:buffer'
import { closeSync, openSync, readSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { inspect } from 'node:util'

const shown = '***'
const secretBytesMax = 64 * 1024

/** A secret. Whatever prints it shows `***`; `reveal` is the only way to the value. */
export class Secret {
  /** Where it comes from, as TOML; undefined for a literal. */
  readonly reference: string | undefined
  readonly #value: string

  constructor(value: string, reference?: string) {
    this.#value = value
    this.reference = reference
  }

  reveal(): string {
    return this.#value
  }

  toString(): string {
    return shown
  }

  toJSON(): string {
    return shown
  }
}

// Not a method: the declaration of a computed name cannot be emitted file by file.
Object.defineProperty(Secret.prototype, inspect.custom, { value: () => shown })

/** How a file writes a secret: the value itself, or where to find it. */
export type SecretSource =
  | { readonly from: 'literal'; readonly value: string }
  | { readonly from: 'env' | 'credential'; readonly name: string }
  | { readonly from: 'file'; readonly path: string }

/** Environment variables, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Undefined where `written` is no form of a secret. A relative path is relative to `file`'s folder. */
export function parseSecretSource(written: unknown, file: string): SecretSource | undefined {
  if (typeof written === 'string') return written === '' ? undefined : literal(written)
  if (typeof written !== 'object' || written === null) return undefined
  const [only, surplus] = Object.entries(written) as [string, unknown][]
  if (only === undefined || surplus !== undefined) return undefined
  const [from, name] = only
  if (typeof name !== 'string' || name === '' || name.includes('\0')) return undefined
  if (from === 'env') return { from, name }
  if (from === 'file') return { from, path: resolve(dirname(file), name) }
  // systemd lets a credential be a plain file name alone.
  const isName = /^[^/]{1,255}$/.test(name) && name !== '.' && name !== '..'
  return from === 'credential' && isName ? { from, name } : undefined
}

/**
 * The secret, read now. Limits: 64 KiB. One newline at the end of a file is not part of it.
 * Errors: Error with what could not be read; never with a part of the secret.
 * Source: systemd.exec(5) "CREDENTIALS_DIRECTORY".
 */
export function readSecret(source: SecretSource, env: Environment): Secret {
  switch (source.from) {
    case 'literal':
      return new Secret(source.value)
    case 'env': {
      const value = env[source.name]
      if (value === undefined) throw new Error(`environment variable ${source.name} is not set`)
      if (value === '') throw new Error(`environment variable ${source.name} is empty`)
      return new Secret(value, reference('env', source.name))
    }
    case 'file':
      return new Secret(readSecretFile(source.path), reference('file', source.path))
    case 'credential': {
      const folder = env['CREDENTIALS_DIRECTORY']
      if (folder === undefined) {
        throw new Error(
          `systemd credential ${source.name} is not there: CREDENTIALS_DIRECTORY is not set`,
        )
      }
      const value = readSecretFile(join(folder, source.name))
      return new Secret(value, reference('credential', source.name))
    }
    default:
      return source satisfies never
  }
}

function literal(value: string): SecretSource {
  return { from: 'literal', value }
}

function reference(from: string, name: string): string {
  return `{ ${from} = ${JSON.stringify(name)} }`
}

function readSecretFile(path: string): string {
  const bytes = readBounded(path)
  if (!isUtf8(bytes)) throw new Error(`${path} is not UTF-8 text`)
  const trimmed = bytes.toString('utf8').replace(/\r?\n$/, '')
  if (trimmed === '') throw new Error(`${path} is empty`)
  return trimmed
}

function readBounded(path: string): Buffer {
  const buffer = Buffer.alloc(secretBytesMax + 1)
  const descriptor = openSync(path, 'r')
  try {
    let size = 0
    for (let read = -1; read !== 0 && size < buffer.length; size += read) {
      read = readSync(descriptor, buffer, size, buffer.length - size, null)
    }
    if (size > secretBytesMax) throw new Error(`${path} is longer than ${secretBytesMax} bytes`)
    return buffer.subarray(0, size)
  } finally {
    closeSync(descriptor)
  }
}
