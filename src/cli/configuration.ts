// Which files a command's configuration comes from, and how a refused one is reported.
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { loadConfig } from '../config/load.ts'
import { ConfigError } from '../config/problem.ts'
import type { Config } from '../config/schema.ts'
import type { Invocation, Terminal } from './command.ts'

const defaultFile = 'config.toml'

/** The `-c` files, or `config.toml` in the current folder when it exists, or none. */
export function configFiles(invocation: Invocation): readonly string[] {
  if (invocation.files.length > 0) return invocation.files
  return existsSync(join(resolve(invocation.cwd), defaultFile)) ? [defaultFile] : []
}

/**
 * The configuration, or undefined after every problem was written to the terminal.
 */
export function loadOrReport(files: readonly string[], invocation: Invocation): Config | undefined {
  const { terminal } = invocation
  if (files.length === 0) {
    terminal.err(`keelson: no configuration: give -c FILE, or put ${defaultFile} here\n`)
    return undefined
  }
  try {
    return loadConfig(files)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    reportProblems(error, terminal)
    return undefined
  }
}

/** Every problem, one a line, and how many there are. */
export function reportProblems(error: ConfigError, terminal: Terminal): void {
  const count = error.problems.length
  const problems = count === 1 ? '1 problem' : `${count} problems`
  terminal.err(`${error.message}\nkeelson: the configuration has ${problems}\n`)
}
