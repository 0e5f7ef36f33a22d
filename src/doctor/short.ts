// What a server that starts says of its machine: warnings and errors alone, of what can be seen at once.
// It measures nothing, asks nobody, holds nothing up, and never fails.
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import type { Config } from '../config/schema.ts'
import { atStart } from './catalog.ts'
import { checkClock } from './check/clock.ts'
import { checkFiles } from './check/files.ts'
import { checkKernel } from './check/kernel.ts'
import { checkResources } from './check/resources.ts'
import { checkPlaces } from './check/storage.ts'
import type { Finding } from './contract.ts'
import { kernelFacts, resourceFacts, type Surroundings } from './facts.ts'
import { type Host, openHost } from './host.ts'
import { readClock } from './probe/clock.ts'
import { readFiles } from './probe/files.ts'
import { readPlaces } from './probe/storage.ts'
import { redacted, secretsOf } from './redact.ts'

export interface ShortLog {
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface ShortParts {
  /** Those that the configuration came from. */
  readonly files: readonly string[]
  /** Whether a listener serves TLS with the uws transport. */
  readonly hasTlsOnUws: boolean
  readonly host?: Host
}

/** For `ShortParts.hasTlsOnUws`. */
export function servesTlsOnUws(
  listeners: ReadonlyArray<{ readonly transport: string; readonly tls: boolean }>,
): boolean {
  return listeners.some(({ transport, tls }) => tls && transport === 'uws')
}

/** Resolves when all is said. Never rejects. */
export async function shortDoctor(config: Config, log: ShortLog, parts: ShortParts): Promise<void> {
  try {
    const { host = openHost() } = parts
    const around = surroundings(host, parts)
    const found = await Promise.all([
      kernelFacts(config, around).then((facts) =>
        checkKernel({ ...facts, hasTlsOnUws: parts.hasTlsOnUws }),
      ),
      resourceFacts(config, around).then(checkResources),
      readFiles(host, config, around).then(checkFiles),
      readPlaces(host, config).then(checkPlaces),
      readClock(host, true).then(checkClock),
    ])
    for (const finding of redacted(found.flat(), secretsOf(config))) say(finding, log)
  } catch {
    // It is advice: the server serves without it, and `keelson doctor` tells more.
  }
}

function say(
  { check, severity, title, detail, remedy, command, link }: Finding,
  log: ShortLog,
): void {
  if (!atStart.has(check)) return
  const fields = { check, remedy, ...(command === '' ? {} : { command }), link }
  if (severity === 'warning') log.warn(fields, `doctor: ${title}: ${detail}`)
  if (severity === 'error') log.error(fields, `doctor: ${title}: ${detail}`)
}

function surroundings(host: Host, { files }: ShortParts): Surroundings {
  return {
    ...{
      host,
      files: files.map((file) => resolve(file)),
      problems: [],
      uwsProblem: undefined,
      uwsCaution: undefined,
      isForUws: () => false,
    },
    serverPid: process.pid,
    cores: availableParallelism(),
    addresses: undefined,
    architecture: process.arch,
    env: process.env,
    uid: process.getuid?.() ?? 0,
    now: Date.now,
    clockUrl: undefined,
    isQuick: true,
  }
}
