// Answers for a machine of a test's own: its own network (loopback alone, every port free) and its
// own copy of /etc, so that well-known ports, host names and system-wide files can be used as they are.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { startDaemon } from './daemon.ts'
import { attempt, type Finished, type RunOptions, run } from './run.ts'
import { needsRootAnd } from './tools.ts'

export interface PrivateHost {
  /** What to put before a command line so that it runs there. */
  readonly enter: readonly string[]
  /** As `run`. */
  run(command: string, args: readonly string[], options?: RunOptions): Promise<string>
  /** As `attempt`. */
  attempt(command: string, args: readonly string[], options?: RunOptions): Promise<Finished>
  /** Ends what is still running there. */
  close(): Promise<unknown>
}

/** Options for `test()`: what a private host needs, and these tools. */
export function needsPrivateHostAnd(...tools: readonly string[]): {
  readonly skip: string | false
} {
  return needsRootAnd('unshare', 'nsenter', 'ip', 'mount', 'bash', ...tools)
}

// For documentation (RFC 5737), so that nothing else is there. Not a loopback address, since Docker
// checks no certificate of a registry that it finds on one.
const namedAddress = '192.0.2.1'

// The copy is in memory and goes with the namespace; what the host mounts over single files of /etc
// is copied like the rest.
const setUp = `
set -euo pipefail
ip link set lo up
ip address add ${namedAddress}/32 dev lo
mount -t tmpfs tmpfs "$1"
cp -a /etc/. "$1"
mount --bind "$1" /etc
printf '127.0.0.1 localhost\\n::1 localhost\\n${namedAddress} %s\\n' "$2" > /etc/hosts
echo ready
exec sleep infinity
`

/**
 * Make a private host whose files are all in `dir` and in memory.
 * `names`: host names that stand for an address of its own, which is no loopback address.
 */
export async function openPrivateHost(
  dir: string,
  names: readonly string[] = [],
): Promise<PrivateHost> {
  const etc = join(dir, 'etc')
  await mkdir(etc)
  const daemon = await startDaemon({
    command: 'unshare',
    args: ['--mount', '--net', '--', 'bash', '-c', setUp, 'private-host', etc, names.join(' ')],
    onLine: (line) => (line === 'ready' ? true : undefined),
  })
  const enter = ['nsenter', '--target', String(daemon.pid), '--mount', '--net', '--'] as const
  const [nsenter, ...flags] = enter
  // Who enters begins in the root folder.
  const line = (options: RunOptions | undefined, command: readonly string[]): readonly string[] =>
    options?.cwd === undefined
      ? [...flags, ...command]
      : [...flags, 'env', '-C', options.cwd, ...command]
  return {
    enter,
    run: (command, args, options) => run(nsenter, line(options, [command, ...args]), options),
    attempt: (command, args, options) =>
      attempt(nsenter, line(options, [command, ...args]), options),
    close: () => daemon.stop(),
  }
}
