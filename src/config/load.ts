// Reads configuration files into one frozen Config, or refuses with every problem at once.
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { composeConfig } from './compose.ts'
import { ConfigError, type ConfigProblem } from './problem.ts'
import type { Config } from './schema.ts'
import type { Environment } from './secret.ts'
import { mergeSources, type Source } from './source.ts'

const quickStartText = `[global.access_policy]
default = "allow"

[blob_store.fs]
root_dir = "data"

[log]
format = "human"
`

/**
 * Read and merge configuration files in the given order: tables recursively, scalars and arrays
 * replaced. A relative path in a file is relative to that file's folder. Secrets are read too, from
 * `env` or from where it says systemd's credentials are.
 * Errors: ConfigError with every problem of every file.
 */
export function loadConfig(files: readonly string[], env: Environment = process.env): Config {
  return parseConfig(readSources(files), env)
}

/** The texts of the files. Errors: ConfigError with every file that cannot be read. */
export function readSources(files: readonly string[]): readonly Source[] {
  const problems: ConfigProblem[] = []
  const sources: Source[] = []
  for (const file of files) {
    try {
      const text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file))
      sources.push({ file, text })
    } catch (error) {
      problems.push({ file, line: 1, key: '', message: unreadable(error) })
    }
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return sources
}

/**
 * The same for texts in hand; `file` gives the name for errors and the folder for relative paths.
 * Errors: ConfigError with every problem of every text.
 */
export function parseConfig(sources: readonly Source[], env: Environment = process.env): Config {
  const problems: ConfigProblem[] = []
  const merged = mergeSources(sources, problems)
  const config = merged && composeConfig(merged, env, problems)
  if (config === undefined || problems.length > 0) {
    throw new ConfigError(inReadingOrder(problems, sources))
  }
  return config
}

/** What `npm start` serves when it is given no file: `./data`, on loopback, open to whoever is there. */
export function quickStartConfig(cwd: string): Config {
  return parseConfig([{ file: join(resolve(cwd), 'quick-start.toml'), text: quickStartText }])
}

function inReadingOrder(
  problems: readonly ConfigProblem[],
  sources: readonly Source[],
): readonly ConfigProblem[] {
  const files = sources.map((source) => source.file)
  return problems.toSorted(
    (a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line,
  )
}

function unreadable(error: unknown): string {
  if (error instanceof TypeError) return 'expected UTF-8 text, found other bytes'
  return error instanceof Error ? `cannot be read: ${error.message}` : 'cannot be read'
}
