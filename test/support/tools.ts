// Answers for the outside programs that tests use: a test that needs an absent one skips and names
// it, or fails under KEELSON_TEST_REQUIRE=all.
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** The full path of a program on PATH, or `undefined`. */
export function findTool(name: string): string | undefined {
  // Debian keeps daemons in sbin, which is not on every user's PATH.
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']
  return folders.map((folder) => join(folder, name)).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** True where an absent tool must fail the run instead of skipping a test. */
export const isEveryToolRequired: boolean = process.env['KEELSON_TEST_REQUIRE'] === 'all'

/**
 * Options for `test()` that skip it, by name, where a tool is absent.
 * Errors: an Error under KEELSON_TEST_REQUIRE=all, which fails the whole test file.
 */
export function needs(...tools: readonly string[]): { readonly skip: string | false } {
  return needsThat(tools.filter((tool) => findTool(tool) === undefined))
}

/** As `needs`, for container engines, which set up their storage and mounts as root. */
export function needsRootAnd(...tools: readonly string[]): { readonly skip: string | false } {
  const lacking = tools.filter((tool) => findTool(tool) === undefined)
  return needsThat(process.getuid?.() === 0 ? lacking : [...lacking, 'root'])
}

/** As `needs`, for conditions that the caller has checked: the list says what is lacking. */
export function needsThat(lacking: readonly string[]): { readonly skip: string | false } {
  if (lacking.length === 0) return { skip: false }
  const reason = `lacks ${lacking.join(', ')}`
  if (isEveryToolRequired) throw new Error(`KEELSON_TEST_REQUIRE=all, but this machine ${reason}`)
  return { skip: reason }
}
