// Answers for tests that need a network of their own: they run in a further process, which has one, so that nothing of
// this machine's is touched, whatever they do to links, addresses and rules.

import { spawnSync } from 'node:child_process'
import { basename } from 'node:path'
import { test } from 'node:test'
import { startDaemon } from './daemon.ts'
import { needsRootAnd, needsThat } from './tools.ts'

/** Options for `test()`: skipped where namespaces or nftables cannot be had. */
export const needsNamespaces: { readonly skip: string | false } = needsAll()

function needsAll(): { readonly skip: string | false } {
  const tools = needsRootAnd('ip', 'nft', 'unshare')
  if (tools.skip !== false) return tools
  const program = ['unshare', '-n', 'nft', 'add', 'table', 'inet', 'tried']
  const tried = spawnSync(program[0] ?? '', program.slice(1))
  return needsThat(tried.status === 0 ? [] : ['network namespaces with nftables'])
}

const isInside = 'KEELSON_TEST_OWN_NETWORK'
const shownMax = 200
// Names of networks that it makes are its own, too, and all go with it.
const begin = `set -e
mkdir -p /run/netns
mount -t tmpfs own-network /run/netns
ip link set lo up
exec "$@"`

/**
 * The tests that `define` defines, in a process that has a network with loopback alone, processes and mounts of its own.
 * `file`: that of the caller. Limits: `timeoutMs` for all of them.
 */
export function inOwnNetwork(
  file: string,
  { skip, timeoutMs }: { readonly skip: string | false; readonly timeoutMs: number },
  define: () => void,
): void {
  if (process.env[isInside] === '1') {
    define()
    return
  }
  const name = basename(file).replace(/\.test\.[jt]s$/, '')
  test(`in a network of their own: ${name}`, { skip, timeout: timeoutMs }, async (t) => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env
    const daemon = await startDaemon<true>({
      command: 'unshare',
      args: [
        ...['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'],
        ...['sh', '-c', begin, 'sh', process.execPath, '--enable-source-maps'],
        ...['--test-reporter=spec', file],
      ],
      env: { ...env, [isInside]: '1' },
      probe: async () => true,
    })
    t.after(() => daemon.kill())
    const { code } = await daemon.exited
    if (code !== 0)
      throw new Error(`ended with ${code}:\n${daemon.log.slice(-shownMax).join('\n')}`)
    for (const line of daemon.log.filter((each) => /\S/.test(each))) t.diagnostic(line)
  })
}
