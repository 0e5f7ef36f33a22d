// Answers for container engines of a test's own: their whole state is in the scene's folder, they
// listen on a unix socket there, and they need no network set-up.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startDaemon } from './daemon.ts'
import type { PrivateHost } from './private-host.ts'
import { attempt } from './run.ts'
import type { Scene } from './scene.ts'
import { findTool } from './tools.ts'

/** What an engine needs of a scene: a folder, and a way to end with it. */
type Place = Pick<Scene, 'dir' | 'onEnd'>

export interface EngineOptions {
  /** Where it runs, with that host's names and /etc; by default the test's own. */
  readonly host?: PrivateHost
}

export interface ContainerdOptions extends EngineOptions {
  /** Another build of it. */
  readonly program?: string
  /** In place of the configuration that only switches the CRI plug-in off. */
  readonly config?: string
}

// The CRI plug-in would look for networks and listen on a port; few tests need it.
const withoutCri = 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'

/** A command line whose mounts vanish with it, even if it is killed. */
function inOwnMounts(
  host: PrivateHost | undefined,
  command: string,
  args: readonly string[],
): { readonly command: string; readonly args: readonly string[] } {
  const [first = 'unshare', ...rest] = [...(host?.enter ?? []), 'unshare', '--mount', '--']
  return { command: first, args: [...rest, command, ...args] }
}

/** Start a Docker engine for `scene`; the answer is the value for DOCKER_HOST. */
export async function startDockerd(scene: Place, options: EngineOptions = {}): Promise<string> {
  const { dir } = scene
  const socket = `unix://${join(dir, 'docker.sock')}`
  const daemon = await startDaemon({
    ...inOwnMounts(options.host, findTool('dockerd') ?? 'dockerd', [
      ...['--iptables=false', '--ip6tables=false', '--bridge=none', '--storage-driver=vfs'],
      ...['--data-root', join(dir, 'docker-data'), '--exec-root', join(dir, 'docker-exec')],
      ...['--pidfile', join(dir, 'dockerd.pid'), '-H', socket],
    ]),
    probe: () => probe('docker', ['-H', socket, 'version']),
  })
  scene.onEnd(() => daemon.stop())
  return socket
}

/** Start a containerd for `scene`; the answer is its address. */
export async function startContainerd(
  scene: Place,
  options: ContainerdOptions = {},
): Promise<string> {
  const { dir } = scene
  const { host, program = 'containerd' } = options
  const address = join(dir, 'containerd.sock')
  const config = join(dir, 'containerd.toml')
  await writeFile(config, options.config ?? withoutCri)
  const daemon = await startDaemon({
    ...inOwnMounts(host, program, [
      ...['--config', config, '--address', address],
      ...['--root', containerdRoot(dir), '--state', join(dir, 'containerd-state')],
    ]),
    probe: () => probe('ctr', ['--address', address, 'version']),
  })
  scene.onEnd(() => daemon.stop())
  return address
}

/** Where `startContainerd` keeps what it pulled. */
export function containerdRoot(dir: string): string {
  return join(dir, 'containerd-root')
}

async function probe(command: string, args: readonly string[]): Promise<true | undefined> {
  const { code } = await attempt(command, args)
  return code === 0 ? true : undefined
}
