// The files whose change is a change of the configuration: its own, and those that it takes values from.

import { resolve } from 'node:path'
import { namedSecrets } from '../config/named-secrets.ts'
import type { Config } from '../config/schema.ts'

/** Absolute paths. TLS files are not among them: their keeper watches them itself. */
export function watchedFiles(files: readonly string[], config: Config): readonly string[] {
  const named = namedSecrets(config).files.map(({ file }) => file)
  return [...new Set([...files, ...named].map((file) => resolve(file)))]
}
