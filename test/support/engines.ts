// Answers for container engines of a test's own: their whole state is in the scene's folder, they
// listen on a unix socket there, and they need no network set-up.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startDaemon } from './daemon.ts'
import { attempt } from './run.ts'
import type { Scene } from './scene.ts'
import { findTool } from './tools.ts'

/** A command line whose mounts vanish with it, even if it is killed. */
function inOwnMounts(
  command: string,
  args: readonly string[],
): { readonly command: string; readonly args: readonly string[] } {
  return { command: 'unshare', args: ['--mount', '--', command, ...args] }
}

/** Start a Docker engine for `scene`; the answer is the value for DOCKER_HOST. */
export async function startDockerd(scene: Scene): Promise<string> {
  const { dir } = scene
  const socket = `unix://${join(dir, 'docker.sock')}`
  const daemon = await startDaemon({
    ...inOwnMounts(findTool('dockerd') ?? 'dockerd', [
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
export async function startContainerd(scene: Scene): Promise<string> {
  const { dir } = scene
  const address = join(dir, 'containerd.sock')
  const config = join(dir, 'containerd.toml')
  // The CRI plug-in would look for networks and listen on a port; nothing here needs it.
  await writeFile(config, 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
  const daemon = await startDaemon({
    ...inOwnMounts('containerd', [
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
