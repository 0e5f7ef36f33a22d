// Answers for a host that really runs systemd, in tests: systemd-nspawn boots this machine's own root
// directory, with all that is written kept in memory and gone after, and with a network of its own.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Daemon, startDaemon } from '../support/daemon.ts'
import { attempt, type Finished, run } from '../support/run.ts'
import { needsRootAnd } from '../support/tools.ts'

export interface BootedHost {
  /** A script of sh that must succeed; answers what it prints. */
  sh(script: string): Promise<string>
  /** The same, whatever it ends with. */
  trySh(script: string): Promise<Finished>
  /** Ends everything that runs there. */
  close(): Promise<void>
}

/** Options for `test()`: what a booted host needs, and these tools. */
export function needsBootedHostAnd(...tools: readonly string[]): { readonly skip: string | false } {
  return needsRootAnd('systemd-nspawn', 'unshare', 'nsenter', 'mount', 'bash', ...tools)
}

// All mounts are in a namespace of its own and go with it. The control groups of the host are not its
// business: it gets one of its own in each hierarchy, where it is root.
const boot = `
set -euo pipefail
mount -t tmpfs -o size=3g tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
while read -r _ _ _ _ place _; do
  group=$place/$2
  mkdir -p "$group"
  for file in cpuset.cpus cpuset.mems; do
    if [ -e "$place/$file" ]; then cat "$place/$file" >"$group/$file"; fi
  done
  echo $$ >"$group/cgroup.procs"
done < <(grep -E ' - cgroup2? ' /proc/self/mountinfo)
exec systemd-nspawn --directory="$1/root" --machine="$2" --register=no --keep-unit --private-network \\
  --link-journal=no --bind-ro="$3:/packages" --boot systemd.unit=sysinit.target \\
  systemd.show_status=yes
`

/** `folder` is empty, and `packages` can be read there as /packages. Errors: Error with the console. */
export async function bootHost(folder: string, packages: string): Promise<BootedHost> {
  const name = `keelson-${process.pid}`
  const daemon: Daemon<true> = await startDaemon({
    command: 'unshare',
    args: ['--mount', '--', 'bash', '-c', boot, 'boot', folder, name, packages],
    onLine: (line) => /Reached target .*sysinit\.target/.test(line) || undefined,
    readyTimeoutMs: 90_000,
  })
  const { pid } = daemon
  const children = readFileSync(join('/proc', String(pid), 'task', String(pid), 'children'), 'utf8')
  const init = children.trim().split(' ')[0] ?? ''
  const namespaces = ['--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup']
  const enter = ['--target', init, ...namespaces, '--', 'sh', '-c']
  return {
    sh: (script) => run('nsenter', [...enter, `set -e\n${script}`]),
    trySh: (script) => attempt('nsenter', [...enter, script]),
    close: async () => {
      // nspawn takes it for an orderly power-off.
      await daemon.stop(30_000)
      await removeGroups(name)
    },
  }
}

async function removeGroups(name: string): Promise<void> {
  const places = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => join(line.split(' ')[4] ?? '', name))
  // Empty by now; those below first.
  await attempt('find', [...places, '-depth', '-type', 'd', '-delete'])
}
