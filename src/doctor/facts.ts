// Gathers what the checks look at. Reads files and settings; changes nothing and opens no port.
import { readFile, stat } from 'node:fs/promises'
import { loadUsers } from '../authenticate/users.ts'
import type { Config, TlsConfig } from '../config/schema.ts'
import { loadTls } from '../server/tls/load.ts'
import { TicketSecrets } from '../server/tls/ticket-keys.ts'
import { TlsFileError, tlsFilesOf } from '../server/tls/tls-files.ts'
import type { Facts, KeyFacts, TlsFacts } from './contract.ts'

/** What the caller knows: the doctor loads no transport by itself. */
export interface Surroundings {
  readonly uwsProblem: string | undefined
  /** Whether uws can serve this listener. */
  readonly isForUws: (listener: Config['listeners'][number]) => boolean
  readonly now: () => number
}

/** The facts of a configuration on this machine. */
export async function gatherFacts(config: Config, around: Surroundings): Promise<Facts> {
  const { listeners, tls } = config
  const choice = config.server.transport
  const forUws = choice === 'node' ? [] : listeners.filter(around.isForUws)
  const { uwsProblem } = around
  return {
    tls:
      tls !== undefined && listeners.some((each) => each.tls)
        ? await tlsFacts(tls, around.now)
        : undefined,
    kernel: {
      tcpMigrateReq: await setting('/proc/sys/net/ipv4/tcp_migrate_req'),
      hasTlsOnUws: uwsProblem === undefined && forUws.some((each) => each.tls),
    },
    transport: { choice, uwsProblem, listenersForUws: forUws.length },
    passwords: {
      nowMs: around.now(),
      users: loadUsers(config.auth).users.map(({ username, passwordHash, expiresAtMs }) => ({
        ...{ username, expiresAtMs },
        isBcrypt: passwordHash.startsWith('$2'),
      })),
    },
  }
}

async function tlsFacts(tls: TlsConfig, now: () => number): Promise<TlsFacts> {
  const files = tlsFilesOf(tls)
  const key = await keyFacts(files.serverPrivateKey)
  try {
    const { terms, warnings, material } = await loadTls(files, now, new TicketSecrets())
    return { nowMs: now(), fault: undefined, terms, warnings, names: material.names, key }
  } catch (error) {
    if (!(error instanceof TlsFileError)) throw error
    const { file, reason, remedy } = error
    const fault = { file, reason, remedy }
    return { nowMs: now(), fault, terms: [], warnings: [], names: [], key }
  }
}

async function keyFacts(file: string): Promise<KeyFacts | undefined> {
  try {
    const { mode } = await stat(file)
    const text = await readFile(file, 'latin1')
    const isEncrypted = /^-----BEGIN ENCRYPTED|^Proc-Type:.*ENCRYPTED/m.test(text)
    return { file, mode: mode & 0o777, isEncrypted }
  } catch {
    // What cannot be read is told by the loader.
    return undefined
  }
}

async function setting(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch {
    return undefined
  }
}
