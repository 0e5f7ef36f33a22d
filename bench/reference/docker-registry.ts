// Debian's docker-registry (Distribution 2.8), on its filesystem driver with its in-memory
// descriptor cache and no access log.

import { findProgram, programSays } from '../children.ts'
import type { Subject } from '../contract.ts'
import { registry } from './registry.ts'

/** Also that of its next major version. */
export function distributionConfiguration(root: string, port: number): string {
  return `version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: ${root}
http:
  addr: 127.0.0.1:${port}
`
}

export const DISTRIBUTION_BLOBS = 'docker/registry/v2/blobs'

export const dockerRegistry: Subject = registry({
  name: 'docker-registry',
  program: () => findProgram('docker-registry'),
  version: () => programSays('docker-registry', '--version')?.split(' ').at(-1),
  configuration: distributionConfiguration,
  command: (program, configFile) => [program, 'serve', configFile],
  blobs: DISTRIBUTION_BLOBS,
})
