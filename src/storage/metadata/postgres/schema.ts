// The tables of the metadata store, and how they come to be.

import type { ClientBase } from 'pg'

/**
 * One after the other, each in a transaction of its own, and never changed once released. Each leaves the
 * tables such that the release before it can go on with them, so that nodes are upgraded one by one.
 * Keys are ASCII and sorted by bytes, whatever the locale of the database.
 */
export const migrations: readonly string[] = [
  `CREATE TABLE IF NOT EXISTS keelson_records (
     key text COLLATE "C" PRIMARY KEY,
     value text NOT NULL
   );
   CREATE TABLE IF NOT EXISTS keelson_bodies (
     key text COLLATE "C" PRIMARY KEY,
     body bytea NOT NULL
   );
   CREATE TABLE IF NOT EXISTS keelson_place (
     only_row boolean PRIMARY KEY CHECK (only_row),
     id text NOT NULL
   )`,
  `CREATE TABLE IF NOT EXISTS keelson_nodes (
     id text COLLATE "C" PRIMARY KEY,
     epoch bigint NOT NULL,
     host text NOT NULL,
     lease_ends timestamptz NOT NULL,
     ended boolean NOT NULL
   )`,
]

const versions = `CREATE TABLE IF NOT EXISTS keelson_migrations (
  version integer PRIMARY KEY,
  applied_at timestamptz NOT NULL DEFAULT now()
)`

// Two that make the same table at once: the loser is told of a type or a row that is there already.
const rivalCodes: ReadonlySet<unknown> = new Set(['23505', '42P07', '42710', '40001', '40P01'])
const attemptsMax = 20

/**
 * Bring the database to the newest version; nothing happens where it is there already. Nodes that start
 * together may do it together: one of them wins, and the others see its work.
 * Errors: those of the driver; Error where the database has a version that this build does not know.
 */
export async function migrate(client: ClientBase): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await migrateOnce(client)
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
      if (attempt === attemptsMax || !rivalCodes.has(code)) throw cause
    }
  }
}

async function migrateOnce(client: ClientBase): Promise<void> {
  const { rows: there } = await client.query<{ readonly found: boolean }>(
    "SELECT to_regclass('keelson_migrations') IS NOT NULL AS found",
  )
  // Asked before, since whoever may not make tables is refused even where there is nothing to make.
  if (there[0]?.found !== true) await client.query(versions)
  const { rows } = await client.query<{ readonly version: number | null }>(
    'SELECT max(version) AS version FROM keelson_migrations',
  )
  const found = rows[0]?.version ?? 0
  if (found > migrations.length) {
    throw new Error(`its tables have version ${found}, and this build knows ${migrations.length}`)
  }
  for (const [index, text] of migrations.entries()) {
    const version = index + 1
    if (version > found) await apply(client, version, text)
  }
}

async function apply(client: ClientBase, version: number, text: string): Promise<void> {
  await client.query('BEGIN')
  try {
    const claim = 'INSERT INTO keelson_migrations (version) VALUES ($1) ON CONFLICT DO NOTHING'
    // Waits for another node that applies it at this moment.
    const { rowCount } = await client.query(claim, [version])
    if (rowCount === 1) await client.query(text)
    await client.query('COMMIT')
  } catch (cause) {
    await client.query('ROLLBACK')
    throw cause
  }
}
