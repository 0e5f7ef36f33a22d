// Metrics of a PostgreSQL that keeps the metadata.

import type { Registry } from 'prom-client'
import { counter, gauge, single } from './readings.ts'

/** Counted up in place. */
export interface PostgresCounts {
  transactions: number
  /** Runs of a transaction that another one got in the way of. */
  conflicts: number
  /** Transactions that failed, those that were given up among them. */
  failures: number
  /** Connections that ended while they were in use or idle. */
  connectionsLost: number
}

export interface PostgresFigures extends Readonly<PostgresCounts> {
  readonly connections: number
  readonly connectionsIdle: number
  /** What waits for a connection. */
  readonly waiting: number
}

export function newPostgresCounts(): PostgresCounts {
  return { transactions: 0, conflicts: 0, failures: 0, connectionsLost: 0 }
}

/** `read`: undefined where metadata is elsewhere. */
export function registerPostgresMetrics(
  registry: Registry,
  read: () => PostgresFigures | undefined,
  /** Undefined where servers of other hosts cannot share the store. */
  nodes: () => number | undefined,
): void {
  gauge(registry, {
    name: 'keelson_nodes',
    help: 'Servers that share the store and hold a lease, this one among them',
    aggregator: 'max',
    read: single(nodes),
  })
  for (const [name, help, value] of [
    ['connections', 'Connections to PostgreSQL', 'connections'],
    ['connections_idle', 'Those of them that nobody uses', 'connectionsIdle'],
    ['waiting', 'Reads and writes that wait for a connection', 'waiting'],
  ] as const) {
    gauge(registry, {
      ...{ name: `keelson_postgres_${name}`, help, aggregator: 'sum' },
      read: single(() => read()?.[value]),
    })
  }
  for (const [name, help, value] of [
    ['transactions', 'Transactions that were committed', 'transactions'],
    ['conflicts', 'Runs of a transaction that another server got in the way of', 'conflicts'],
    ['failures', 'Transactions that failed, those that were given up among them', 'failures'],
    ['connections_lost', 'Connections that ended unasked', 'connectionsLost'],
  ] as const) {
    counter(registry, {
      ...{ name: `keelson_postgres_${name}_total`, help },
      read: single(() => read()?.[value]),
    })
  }
}
