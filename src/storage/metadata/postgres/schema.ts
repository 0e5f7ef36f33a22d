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
  'ALTER TABLE keelson_migrations ADD COLUMN IF NOT EXISTS oldest integer',
]

/**
 * Builds that know at least so many of them go on with what this one makes, and may start with it; raised where a
 * migration takes something away that they use.
 */
const oldestThatGoesOn = 3

// The first that has a place for it.
const oldestKnownFrom = 3

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
 * Tables of a later build are left as they are where that says that this one can go on with them.
 * Errors: those of the driver; Error where it cannot.
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
  if (found > migrations.length) return requireGoingOn(client, found)
  for (const [index, text] of migrations.entries()) {
    const version = index + 1
    if (version > found) await apply(client, version, text)
  }
}

/** So that nodes that are upgraded one by one can be restarted meanwhile. */
async function requireGoingOn(client: ClientBase, found: number): Promise<void> {
  const { rows } = await client.query<{ readonly oldest: number | null }>(
    'SELECT max(oldest) AS oldest FROM keelson_migrations',
  )
  const oldest = rows[0]?.oldest ?? found
  if (oldest <= migrations.length) return
  throw new Error(
    `its tables have version ${found}, which needs a build that knows ${oldest}; this one knows ${migrations.length}`,
  )
}

async function apply(client: ClientBase, version: number, text: string): Promise<void> {
  await client.query('BEGIN')
  try {
    const claim = 'INSERT INTO keelson_migrations (version) VALUES ($1) ON CONFLICT DO NOTHING'
    // Waits for another node that applies it at this moment.
    const { rowCount } = await client.query(claim, [version])
    if (rowCount === 1) {
      await client.query(text)
      if (version >= oldestKnownFrom) {
        const oldest = 'UPDATE keelson_migrations SET oldest = $2 WHERE version = $1'
        await client.query(oldest, [version, oldestThatGoesOn])
      }
    }
    await client.query('COMMIT')
  } catch (cause) {
    await client.query('ROLLBACK')
    throw cause
  }
}
