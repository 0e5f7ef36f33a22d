// Answers for packages in tests: made from the build at hand, by the script that makes them.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from '../support/run.ts'
import { projectRoot } from '../support/server.ts'

const own = fileURLToPath(import.meta.url)
const script = join(
  own,
  '..',
  '..',
  '..',
  'scripts',
  own.endsWith('.ts') ? 'package.ts' : 'package.js',
)

export interface Built {
  readonly deb: string
  readonly tarball: string
}

/** Without compression, which takes most of the time. */
export async function buildPackages(out: string, version: string): Promise<Built> {
  const env = { ...process.env, SOURCE_DATE_EPOCH: '1750000000' }
  const args = [script, '--out', out, '--version', version, '--compression', 'none']
  const said = await run(process.execPath, args, { cwd: projectRoot, env, timeoutMs: 300_000 })
  const files = said.split('\n').map((line) => line.split(/ +/)[1] ?? '')
  const [tarball = '', deb = ''] = files
  return { deb, tarball }
}
