// Answers for a real OPA in tests: built from pinned source, on a free port, with policies of a test.
import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { startDaemon } from '../../support/daemon.ts'
import { goTool } from '../../support/go-tools.ts'

export interface RealOpaOptions {
  /** Text of each policy file. */
  readonly policies: readonly string[]
  /** For Rego as it was before OPA 1.0. */
  readonly isOldSyntax?: boolean
  /** More of the command line; `--tls-cert-file` makes it `https`. */
  readonly flags?: readonly string[]
}

export interface RealOpa {
  readonly url: string
  readonly log: readonly string[]
}

const readyTimeoutMs = 30_000
const pollEveryMs = 10

/** Start an OPA that ends with the test. Undefined where it cannot be built: then the test skips. */
export async function startRealOpa(
  t: TestContext,
  { policies, isOldSyntax = false, flags = [] }: RealOpaOptions,
): Promise<RealOpa | undefined> {
  const source = 'github.com/open-policy-agent/opa'
  const program = await goTool(t, 'test/authorize/opa/go', source, ['opa_no_oci'])
  if (program === undefined) return undefined
  const folder = await mkdtemp(join(tmpdir(), 'keelson-opa-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const files = policies.map((_, index) => join(folder, `${index}.rego`))
  await Promise.all(files.map((file, index) => writeFile(file, policies[index] ?? '')))
  const own = ['run', '--server', '--skip-version-check', '--addr', '127.0.0.1:0']
  // Without decision logs its decisions have no ids.
  const logs = ['--set', 'decision_logs.console=true', '--shutdown-grace-period', '0']
  const syntax = isOldSyntax ? ['--v0-compatible'] : []
  const daemon = await startDaemon({
    command: program,
    args: [...own, ...logs, ...syntax, ...flags, ...files],
    env: { PATH: process.env['PATH'], HOME: folder },
    // Policies are loaded by then, but nobody listens yet.
    onLine: (line) => (line.includes('"Initializing server."') ? true : undefined),
  })
  t.after(() => daemon.stop())
  const port = await listeningPort(daemon.pid)
  const scheme = flags.includes('--tls-cert-file') ? 'https' : 'http'
  return { url: `${scheme}://127.0.0.1:${port}`, log: daemon.log }
}

// It does not say which port it was given.
async function listeningPort(pid: number): Promise<number> {
  const deadline = performance.now() + readyTimeoutMs
  while (performance.now() < deadline) {
    const own = await socketsOf(pid)
    const rows = (await readFile(`/proc/${pid}/net/tcp`, 'utf8')).split('\n').slice(1)
    for (const row of rows) {
      // Source: proc_pid_net(5): local address, state and inode; 0A is LISTEN.
      const [, local = '', , state, , , , , , inode = ''] = row.trim().split(/\s+/)
      if (state === '0A' && own.has(inode)) return Number.parseInt(local.split(':')[1] ?? '', 16)
    }
    await new Promise((resolve) => setTimeout(resolve, pollEveryMs))
  }
  throw new Error(`process ${pid} does not listen in ${readyTimeoutMs} ms`)
}

async function socketsOf(pid: number): Promise<ReadonlySet<string>> {
  const folder = `/proc/${pid}/fd`
  const links = await Promise.all(
    // A descriptor may be closed meanwhile.
    (await readdir(folder)).map((name) => readlink(join(folder, name)).catch(() => '')),
  )
  return new Set(links.map((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? ''))
}
