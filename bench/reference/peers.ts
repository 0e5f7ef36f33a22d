// Registries that are not packaged and so named by the environment: zot, Distribution 3, angos.
// Each is as it installs, but open, silent about requests, and durable as the others are.

import { statSync } from 'node:fs'
import { programSays } from '../children.ts'
import type { Subject } from '../contract.ts'
import { DISTRIBUTION_BLOBS, distributionConfiguration } from './docker-registry.ts'
import { registry } from './registry.ts'

/** A program whose path stands in the environment; undefined without one. */
function named(variable: string): string | undefined {
  const path = process.env[variable]
  return path === undefined || path === '' ? undefined : path
}

/** The first version number that the program prints; `unknown` where it prints none. */
function versionOf(variable: string, ...args: string[]): string | undefined {
  const path = named(variable)
  const said = path === undefined ? undefined : programSays(path, ...args)
  return said === undefined ? undefined : (/\bv?(\d+\.\d+[\w.+-]*)/.exec(said)?.[1] ?? 'unknown')
}

// Manifests, and what zot looks up again, are smaller than any layer that a push scenario deletes.
const ZOT_LAYER_BYTES_MIN = 32 * 1024
const ZOT_BLOB = /\/blobs\/sha256\/[0-9a-f]{64}$/

export const zot: Subject = registry({
  name: 'zot',
  program: () => named('KEELSON_BENCH_ZOT'),
  version: () => versionOf('KEELSON_BENCH_ZOT', '--version'),
  configuration: (root, port) =>
    JSON.stringify({
      // Not the default: a push that was answered would not be on disk.
      storage: { rootDirectory: root, commit: true },
      http: { address: '127.0.0.1', port: String(port) },
      log: { level: 'error' },
    }),
  command: (program, configFile) => [program, 'serve', configFile],
  blobs: '',
  isBlob: (path) => ZOT_BLOB.test(path) && statSync(path).size >= ZOT_LAYER_BYTES_MIN,
})

export const distribution: Subject = registry({
  name: 'distribution',
  program: () => named('KEELSON_BENCH_DISTRIBUTION'),
  version: () => versionOf('KEELSON_BENCH_DISTRIBUTION', '--version'),
  configuration: distributionConfiguration,
  // Its tracing is on as it installs, and would look for a collector.
  command: (program, configFile) => [
    ...['env', 'OTEL_TRACES_EXPORTER=none', program, 'serve', configFile],
  ],
  blobs: DISTRIBUTION_BLOBS,
})

export const angos: Subject = registry({
  name: 'angos',
  program: () => named('KEELSON_BENCH_ANGOS'),
  version: () => versionOf('KEELSON_BENCH_ANGOS', '--version'),
  configuration: (root, port) => `[server]
bind_address = "127.0.0.1"
port = ${port}

[blob_store.fs]
root_dir = ${JSON.stringify(root)}
sync_to_disk = true

[global.access_policy]
default_allow = true
`,
  command: (program, configFile) => [program, '-c', configFile, 'server'],
  blobs: '',
})
