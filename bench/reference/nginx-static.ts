// nginx serving the same bytes as static files: the yardstick for reads, set up in its favour
// (sendfile, open-file cache, no access log, endless keep-alive, one process).

import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { findProgram, programSays, startServer, stopServer, untilReady } from '../children.ts'
import type { Content } from '../content.ts'
import type { Origin, Server, StartContext, Subject, TlsFiles } from '../contract.ts'
import { answers, freePort } from '../free-port.ts'
import { verifyContent } from '../load/seed.ts'

function tlsDirectives(tls: TlsFiles | undefined): string {
  if (tls === undefined) return ''
  const lines = [
    'ssl_protocols TLSv1.2 TLSv1.3;',
    `ssl_certificate ${tls.certificateFile};`,
    `ssl_certificate_key ${tls.keyFile};`,
  ]
  if (tls.clientCaFile !== undefined) {
    lines.push(`ssl_client_certificate ${tls.clientCaFile};`)
    lines.push(`ssl_verify_client ${tls.clientAuth === 'required' ? 'on' : 'optional'};`)
  }
  return lines.map((line) => `\n    ${line}`).join('')
}

function configuration(directory: string, port: number, tls: TlsFiles | undefined): string {
  const scratch = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${directory}/${name};`)
    .join('\n  ')
  return `daemon off;
master_process off;
worker_processes 1;
pid ${directory}/nginx.pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  open_file_cache max=1000 inactive=1h;
  open_file_cache_valid 1h;
  default_type application/vnd.oci.image.manifest.v1+json;
  ${scratch}
  server {
    listen 127.0.0.1:${port}${tls === undefined ? '' : ' ssl'};${tlsDirectives(tls)}
    root ${directory}/files;
  }
}
`
}

function writeBlocks(path: string, blocks: readonly Buffer[]): void {
  mkdirSync(dirname(path), { recursive: true })
  const file = openSync(path, 'w')
  for (const block of blocks) writeSync(file, block)
  closeSync(file)
}

function writeContent(directory: string, content: Content): void {
  const root = join(directory, 'files/v2', content.repository)
  for (const blob of content.blobs) writeBlocks(join(root, 'blobs', blob.digest), blob.blocks)
  const tags = content.manifests.map(({ tag }) => tag)
  const list = JSON.stringify({ name: content.repository, tags })
  writeBlocks(join(root, 'tags/list'), [Buffer.from(list)])
  for (const { tag, digest, bytes } of content.manifests) {
    writeBlocks(join(root, 'manifests', tag), [bytes])
    writeBlocks(join(root, 'manifests', digest), [bytes])
  }
}

async function start({ directory, serverCores, tls }: StartContext): Promise<Server> {
  const port = await freePort()
  const origin: Origin = { port, credentials: tls?.credentials }
  const configFile = join(directory, 'nginx.conf')
  const logFile = join(directory, 'log')
  mkdirSync(join(directory, 'files/v2'), { recursive: true })
  writeFileSync(join(directory, 'files/v2/index.html'), '{}')
  writeFileSync(configFile, configuration(directory, port, tls))
  const command = [findProgram('nginx') ?? 'nginx', '-p', directory, '-c', configFile]
  const child = startServer(serverCores, command, logFile)
  await untilReady(child, logFile, () => answers(origin))
  return {
    kind: 'server',
    name: 'nginx-static',
    ...origin,
    pid: child.pid ?? 0,
    blobRoot: undefined,
    contentRoot: join(directory, 'files'),
    load: async (content) => {
      writeContent(directory, content)
      await verifyContent(origin, content)
    },
    stop: () => stopServer(child),
  }
}

export const nginxStatic: Subject = {
  name: 'nginx-static',
  version: () => /nginx\/(\S+)/.exec(programSays('nginx', '-v') ?? '')?.[1],
  start,
}
