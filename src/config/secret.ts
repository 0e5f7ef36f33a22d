// A value that must not be seen: what it prints as, and the places from which it is read.
import { isUtf8 } from 'node:buffer'
import { closeSync, fstatSync, openSync, readSync, type Stats } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { inspect } from 'node:util'

const shown = '***'
const secretBytesMax = 64 * 1024
// Neither owner nor group.
const othersMode = 0o007

/**
 * A secret. Whatever prints it shows `***`; `reveal` is the only way to the value, which is kept outside
 * the heap of JavaScript until it is wiped.
 */
export class Secret {
  /** Where it comes from, as TOML; undefined for a literal. */
  readonly reference: string | undefined
  #bytes: Buffer | undefined

  /** Bytes are copied; they are UTF-8. */
  constructor(value: string | Uint8Array, reference?: string) {
    const size = typeof value === 'string' ? Buffer.byteLength(value) : value.byteLength
    // Not of the pool, whose memory is shared with whatever else is small.
    this.#bytes = Buffer.allocUnsafeSlow(size)
    if (typeof value === 'string') this.#bytes.write(value)
    else this.#bytes.set(value)
    this.reference = reference
  }

  /** Makes a string, which nothing can overwrite: to be used and forgotten. Errors: once it is wiped. */
  reveal(): string {
    if (this.#bytes === undefined) {
      throw new Error('a secret was asked for after its configuration was replaced')
    }
    return this.#bytes.toString('utf8')
  }

  /** Whether the values are the same, wherever they come from; one that is wiped equals none. */
  equals(other: Secret): boolean {
    if (this === other) return true
    return this.#bytes !== undefined && other.#bytes?.equals(this.#bytes) === true
  }

  /** Overwrite the value, once nothing needs it any more. Idempotent. */
  wipe(): void {
    this.#bytes?.fill(0)
    this.#bytes = undefined
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
 * Errors: Error with what could not be read; never with a part of the secret. A file that others than
 * its owner and its group may reach is refused.
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
      return readSecretFile(source.path, reference('file', source.path))
    case 'credential': {
      const folder = env['CREDENTIALS_DIRECTORY']
      if (folder === undefined) {
        throw new Error(
          `systemd credential ${source.name} is not there: CREDENTIALS_DIRECTORY is not set`,
        )
      }
      const path = join(folder, source.name)
      return readSecretFile(path, reference('credential', source.name))
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

function readSecretFile(path: string, reference: string): Secret {
  const buffer = Buffer.allocUnsafeSlow(secretBytesMax + 1)
  const descriptor = openSync(path, 'r')
  try {
    refuseOpenFile(path, fstatSync(descriptor))
    const bytes = readBounded(path, descriptor, buffer)
    if (!isUtf8(bytes)) throw new Error(`${path} is not UTF-8 text`)
    const value = withoutNewline(bytes)
    if (value.length === 0) throw new Error(`${path} is empty`)
    return new Secret(value, reference)
  } finally {
    closeSync(descriptor)
    buffer.fill(0)
  }
}

// What is opened is what counts: of a symbolic link its target.
function refuseOpenFile(path: string, stat: Stats): void {
  if (stat.isDirectory() || (stat.mode & othersMode) === 0) return
  const mode = (stat.mode & 0o777).toString(8).padStart(4, '0')
  throw new Error(`${path} has mode ${mode}, so that others may reach it: chmod o= ${path}`)
}

function readBounded(path: string, descriptor: number, buffer: Buffer): Buffer {
  let size = 0
  for (let read = -1; read !== 0 && size < buffer.length; size += read) {
    read = readSync(descriptor, buffer, size, buffer.length - size, null)
  }
  if (size > secretBytesMax) throw new Error(`${path} is longer than ${secretBytesMax} bytes`)
  return buffer.subarray(0, size)
}

function withoutNewline(bytes: Buffer): Buffer {
  if (bytes.at(-1) !== 0x0a) return bytes
  return bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1)
}
