// What one of several processes makes of the configuration that all of them have.

import { availableParallelism } from 'node:os'
import { extname } from 'node:path'
import type { Config } from '../config/schema.ts'

/** How many processes `server.processes` means on this host. */
export function processCount(configured: Config['server']['processes']): number {
  return configured === 'auto' ? availableParallelism() : configured
}

/** Which of how many processes this is, from 1 on, and the ports that all listen on. */
export interface ProcessPlace {
  readonly index: number
  readonly count: number
  readonly ports: readonly number[]
}

/** The configuration for one process: what nobody can share is its own, what all share is settled. */
export function configOfProcess(config: Config, { index, count, ports }: ProcessPlace): Config {
  const { file } = config.audit
  const { workers } = config.ingest
  const share = Math.max(1, Math.ceil((availableParallelism() - 1) / count))
  return {
    ...config,
    listeners: config.listeners.map((listener, position) => {
      if (listener.kind === 'unix' || listener.port !== 0) return listener
      return { ...listener, port: ports[position] ?? 0 }
    }),
    ingest: { ...config.ingest, workers: workers === 'auto' ? share : workers },
    audit: { ...config.audit, ...(file && { file: auditFileOf(file, index) }) },
  }
}

/** A file of the audit log has one writer: `audit.log` of the second process is `audit.2.log`. */
export function auditFileOf(path: string, index: number): string {
  if (index === 1) return path
  const extension = extname(path)
  return `${path.slice(0, path.length - extension.length)}.${index}${extension}`
}
