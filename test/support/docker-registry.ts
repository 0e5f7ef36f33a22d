// Answers for Debian's docker-registry on a free loopback port, with its tree where a test has it.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Daemon, startDaemon } from './daemon.ts'
import { findTool } from './tools.ts'

export interface DockerRegistry {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  readonly daemon: Daemon<string>
}

/** `rootDirectory` holds `docker/registry/v2`; `dir` is for its configuration. */
export async function startDockerRegistry(
  rootDirectory: string,
  dir: string,
): Promise<DockerRegistry> {
  const file = join(dir, 'docker-registry.yml')
  await writeFile(
    file,
    `version: 0.1
log: { level: info, accesslog: { disabled: true } }
storage:
  filesystem: { rootdirectory: ${JSON.stringify(rootDirectory)} }
  delete: { enabled: true }
http: { addr: '127.0.0.1:0' }
`,
  )
  const daemon = await startDaemon({
    command: findTool('docker-registry') ?? 'docker-registry',
    args: ['serve', file],
    onLine: (line) => /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1],
  })
  return { url: `http://${daemon.ready}`, daemon }
}
