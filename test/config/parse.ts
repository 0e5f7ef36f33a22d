// Configurations as texts in hand, and their problems as lines without the folder.
import assert from 'node:assert/strict'
import { parseConfig } from '../../src/config/load.ts'
import { ConfigError } from '../../src/config/problem.ts'
import type { Config } from '../../src/config/schema.ts'
import type { Environment } from '../../src/config/secret.ts'

/** The least that a configuration needs: two lines. */
export const store = '[blob_store.fs]\nroot_dir = "/srv/registry"\n'

/** The texts become `0.toml`, `1.toml`, … of one folder. */
export function parse(...texts: readonly string[]): Config {
  return parseIn({}, ...texts)
}

export function parseIn(env: Environment, ...texts: readonly string[]): Config {
  return parseConfig(
    texts.map((text, index) => ({ file: `/etc/keelson/${index}.toml`, text })),
    env,
  )
}

export function problemsOf(...texts: readonly string[]): readonly string[] {
  return problemsIn({}, ...texts)
}

export function problemsIn(env: Environment, ...texts: readonly string[]): readonly string[] {
  try {
    parseIn(env, ...texts)
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return error.message.split('\n').map((line) => line.replaceAll('/etc/keelson/', ''))
  }
  return []
}
