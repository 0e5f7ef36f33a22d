// Makes the keys of session tickets. A session resumes without a look at the client's certificate, so
// the keys are derived from everything that the first look used: other CAs or lists, other keys.
import { createHash, hkdfSync, randomBytes } from 'node:crypto'
import { stat } from 'node:fs/promises'
import type { ClientAuthMaterial } from './contract.ts'
import { readTlsFile, TlsFileError } from './tls-files.ts'

const hourMs = 3_600_000
const secretBytesMin = 32

/** How long keys are used: as long as a session lasts, within an hour and a day. Units: ms. */
export function ticketEpochMs(sessionTimeoutSeconds: number): number {
  return Math.min(Math.max(sessionTimeoutSeconds * 1000, hourMs), 24 * hourMs)
}

/** Counted from 1970, so that every host is in the same one. */
export function ticketEpoch(sessionTimeoutSeconds: number, nowMs: number): number {
  return Math.floor(nowMs / ticketEpochMs(sessionTimeoutSeconds))
}

/** The secret of one epoch, from which those of all later ones follow. */
export interface TicketSeed {
  readonly epoch: number
  /** Base64. */
  readonly secret: string
}

/**
 * Where ticket keys come from. Without a file every epoch has a random secret, and the one before is
 * forgotten: what was recorded cannot be read with what is in memory later. Processes that were given the
 * same seed turn it on in the same way, and cannot turn it back. With a file all processes and hosts that
 * have it, and the same CAs and lists, derive the same keys; they stay secret only as long as the file.
 */
export class TicketSecrets {
  readonly #isSeeded: boolean
  #epoch: number | undefined
  #secret: Buffer

  constructor(seed?: TicketSeed) {
    this.#isSeeded = seed !== undefined
    this.#epoch = seed?.epoch
    this.#secret = seed ? Buffer.from(seed.secret, 'base64') : randomBytes(secretBytesMin)
  }

  /** `shared`: content of the file. */
  secretFor(epoch: number, shared: Buffer | undefined): Buffer {
    if (shared !== undefined) return shared
    if (this.#epoch !== undefined && this.#epoch !== epoch) {
      this.#secret = this.#isSeeded
        ? turned(this.#secret, this.#epoch, epoch)
        : randomBytes(secretBytesMin)
    }
    this.#epoch = epoch
    return this.#secret
  }

  /** For another process. */
  seedFor(epoch: number): TicketSeed {
    return { epoch, secret: this.secretFor(epoch, undefined).toString('base64') }
  }
}

// Epochs are counted anew where their length is changed: a leap is one step of its own.
const stepsMax = 1_000

function turned(secret: Buffer, from: number, to: number): Buffer {
  const steps = to - from
  if (steps < 0 || steps > stepsMax) return turnedOnce(secret, `leap to ${to}`)
  let last = secret
  for (let step = 0; step < steps; step += 1) last = turnedOnce(last, 'step')
  return last
}

function turnedOnce(secret: Buffer, how: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', `keelson ticket seed ${how}`, secretBytesMin))
}

/** 48 bytes. Source: RFC 5869. */
export function deriveTicketKeys(
  secret: Buffer,
  clientAuth: ClientAuthMaterial | undefined,
  epoch: number,
): Uint8Array {
  const hash = createHash('sha256')
  // Each part with its length: no two sets are written alike.
  for (const part of [
    clientAuth?.mode ?? 'none',
    clientAuth?.caBundle ?? '',
    ...(clientAuth?.crls ?? []),
  ]) {
    hash.update(`${part.length}:`).update(part)
  }
  const info = Buffer.concat([Buffer.from(`keelson session tickets 1 ${epoch} `), hash.digest()])
  return new Uint8Array(hkdfSync('sha256', secret, '', info, 48))
}

/** Limits: at least 32 bytes. Errors: TlsFileError, also where others may read or change the file. */
export async function readTicketSecret(path: string): Promise<Buffer> {
  const secret = await readTlsFile(path)
  const { mode } = await stat(path)
  if ((mode & 0o027) !== 0) {
    const reason = `its mode is ${(mode & 0o777).toString(8)}`
    const remedy = 'let nobody but its owner, and readers of its group, at it: chmod 640 or 600'
    throw new TlsFileError(path, reason, remedy)
  }
  if (secret.length >= secretBytesMin) return secret
  const reason = `it has ${secret.length} bytes`
  throw new TlsFileError(path, reason, 'put 32 random bytes into it: openssl rand -out FILE 32')
}
