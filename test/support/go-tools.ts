// Answers for programs that only come as Go source: built once per version from a module whose
// go.sum pins them, and kept in the tree's cache folder.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { TestContext } from 'node:test'
import { attempt } from './run.ts'
import { projectRoot } from './server.ts'
import { isEveryToolRequired, needsThat } from './tools.ts'

const oldestMinor = 24

function goVersion(): string | undefined {
  try {
    return execFileSync('go', ['env', 'GOVERSION'], { encoding: 'utf8' }).trim()
  } catch {
    return undefined
  }
}

const version = goVersion()

/** As `needs`, for a Go of at least 1.24, or of the minor version that is asked for. */
export function needsGo(minorMin: number = oldestMinor): { readonly skip: string | false } {
  const minor = Number(/^go1\.(\d+)/.exec(version ?? '')?.[1] ?? -1)
  return needsThat(minor >= minorMin ? [] : [`Go 1.${minorMin} or newer`])
}

/**
 * Build a program of the Go module at `moduleDir` (relative to the project's root), or take the
 * one that an earlier run built. Where the modules cannot be had, say offline, the test skips and
 * the answer is `undefined`; under KEELSON_TEST_REQUIRE=all that is an Error.
 * Limits: ten minutes for the build.
 */
export async function goTool(
  t: Pick<TestContext, 'skip'>,
  moduleDir: string,
  program: string,
  tags: readonly string[] = [],
): Promise<string | undefined> {
  const cwd = join(projectRoot, moduleDir)
  const sums = createHash('sha256').update(version ?? '')
  for (const file of ['go.mod', 'go.sum']) sums.update(await readFile(join(cwd, file)))
  const folder = join(projectRoot, '.cache', 'go-tools')
  const path = join(folder, `${basename(program)}-${sums.digest('hex').slice(0, 16)}`)
  if (existsSync(path)) return path
  await mkdir(folder, { recursive: true })
  const unfinished = `${path}.${process.pid}`
  const flags = ['-trimpath', '-tags', tags.join(','), '-o', unfinished]
  const built = await attempt('go', ['build', ...flags, program], {
    cwd,
    // The toolchain at hand must do; fetching another one is not this test's business.
    env: { ...process.env, CGO_ENABLED: '0', GOTOOLCHAIN: 'local', GOWORK: 'off' },
    timeoutMs: 600_000,
  })
  if (built.code === 0) {
    await rename(unfinished, path)
    return path
  }
  if (isEveryToolRequired) throw new Error(`cannot build ${program}\n${built.stderr}`)
  t.skip(`lacks ${program}: ${built.stderr.trim().split('\n').at(-1)}`)
  return undefined
}
