// What a database is set to, as far as the store depends on it.

import type { ClientBase } from 'pg'

export interface DatabaseSettings {
  readonly version: string
  readonly encoding: string
  readonly synchronousCommit: string
  readonly fsync: string
  readonly fullPageWrites: string
  readonly connectionsMax: number
}

/** What an engine does not know reads as what is harmless. Errors: those of the driver. */
export async function readSettings(client: ClientBase): Promise<DatabaseSettings> {
  const { rows } = await client.query<Readonly<Record<string, string | null>>>(
    `SELECT ${names.map((name) => `current_setting('${name}', true) AS ${name}`).join(', ')}`,
  )
  const [row = {}] = rows
  return {
    version: row['server_version'] ?? 'unknown',
    encoding: row['server_encoding'] ?? 'UTF8',
    synchronousCommit: row['synchronous_commit'] ?? 'on',
    fsync: row['fsync'] ?? 'on',
    fullPageWrites: row['full_page_writes'] ?? 'on',
    connectionsMax: Number(row['max_connections'] ?? Number.POSITIVE_INFINITY),
  }
}

const names = [
  ...['server_version', 'server_encoding', 'synchronous_commit', 'fsync', 'full_page_writes'],
  'max_connections',
] as const

/** Why records cannot be kept there; undefined where they can. */
export function refusalOf({ encoding }: DatabaseSettings): string | undefined {
  if (encoding === 'UTF8') return undefined
  return `the database has the encoding ${encoding}, not UTF8: make it with ENCODING 'UTF8' TEMPLATE template0`
}

/** What is legal, and takes the promise from a 201 that nothing can undo it. */
export function doubtsOf({ fsync, fullPageWrites }: DatabaseSettings): readonly string[] {
  const off = [
    ...(fsync === 'off' ? ['fsync'] : []),
    ...(fullPageWrites === 'off' ? ['full_page_writes'] : []),
  ]
  return off.map((name) => `${name} is off: a power loss may take or tear what was acknowledged`)
}
