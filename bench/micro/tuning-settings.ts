// The settings that tuning.md speaks of, as ways to start the same build of the product.

export interface Setting {
  /** Of the environment; put before what bin/keelson chooses by itself. */
  readonly env?: Readonly<Record<string, string>>
  /** Flags of Node.js. */
  readonly node?: readonly string[]
  /** A configuration file before the bench's own. */
  readonly toml?: string
}

export const SETTINGS: Readonly<Record<string, Setting>> = {
  defaults: {},
  'threads-2': { env: { UV_THREADPOOL_SIZE: '2' } },
  'threads-4': { env: { UV_THREADPOOL_SIZE: '4' } },
  'threads-16': { env: { UV_THREADPOOL_SIZE: '16' } },
  'semi-space-2': { node: ['--max-semi-space-size=2'] },
  'semi-space-64': { node: ['--max-semi-space-size=64'] },
  'workers-1': { toml: '[ingest]\nworkers = 1\n' },
  'workers-2': { toml: '[ingest]\nworkers = 2\n' },
  'slab-128k': { toml: '[ingest]\nslab_size = "128KiB"\n' },
  'slab-256k': { toml: '[ingest]\nslab_size = "256KiB"\n' },
  'slab-4m': { toml: '[ingest]\nslab_size = "4MiB"\n' },
  'slabs-2': { toml: '[ingest]\nslabs_per_upload = 2\n' },
  'slabs-8': { toml: '[ingest]\nslabs_per_upload = 8\n' },
  'budget-8m': { toml: '[ingest]\nmemory_budget = "8MiB"\n' },
  'budget-256m': { toml: '[ingest]\nmemory_budget = "256MiB"\n' },
  'not-durable': { toml: '[storage]\ndurability = "none"\n' },
  'no-reply-cache': { toml: '[cache]\nreply_bytes = 0\n' },
  shared: { toml: '[storage]\nsharing = "shared"\n' },
  'node-transport': { toml: '[server]\ntransport = "node"\n' },
  'access-none': { toml: '[log]\naccess = "none"\n' },
  // A key that everybody knows, in the environment, since the file is no place for one.
  encrypted: {
    env: { BENCH_KEYS: '6b65656c736f6e2062656e6368206b657920202020202020202020202020202e' },
    toml: '[blob_store.fs.encryption]\nkeys = { env = "BENCH_KEYS" }\n',
  },
  'access-all': { toml: '[log]\naccess = "all"\n' },
}
