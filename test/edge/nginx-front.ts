// Answers for nginx as a reverse proxy in front of a server: few connections to it, each used again and
// again by whoever comes, which is what a smuggled request needs.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Daemon, startDaemon } from '../support/daemon.ts'
import { RawConnection } from '../support/raw-http.ts'
import { findTool } from '../support/tools.ts'

export interface FrontOptions {
  readonly port: number
  /** A request body is read whole before the server sees any of it. */
  readonly buffersRequests: boolean
}

export interface Front {
  /** A client's connection to nginx. */
  open(): Promise<RawConnection>
  stop(): Promise<void>
}

function configuration(folder: string, { port, buffersRequests }: FrontOptions): string {
  const scratch = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join('\n  ')
  return `daemon off;
master_process off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr crit;
events { worker_connections 256; }
http {
  access_log off;
  ${scratch}
  upstream registry {
    server 127.0.0.1:${port};
    keepalive 1;
    keepalive_requests 1000000;
  }
  server {
    listen unix:${folder}/front.sock;
    client_max_body_size 0;
    client_header_timeout 2s;
    ignore_invalid_headers off;
    underscores_in_headers on;
    merge_slashes off;
    location / {
      proxy_pass http://registry;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_request_buffering ${buffersRequests ? 'on' : 'off'};
      proxy_read_timeout 2s;
      proxy_send_timeout 2s;
    }
  }
}
`
}

/** Errors: an Error with nginx' last lines if it does not come up. */
export async function startFront(options: FrontOptions): Promise<Front> {
  const folder = await mkdtemp(join(tmpdir(), 'keelson-front-'))
  const path = join(folder, 'front.sock')
  const configFile = join(folder, 'nginx.conf')
  await writeFile(configFile, configuration(folder, options))
  const probe = async (): Promise<true | undefined> => {
    const connection = await RawConnection.open({ path }).catch(() => undefined)
    connection?.close()
    return connection && true
  }
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true })
  const daemon: Daemon<true> = await startDaemon({
    command: findTool('nginx') ?? 'nginx',
    args: ['-p', folder, '-c', configFile],
    probe,
  }).catch(async (error: unknown) => {
    await remove()
    throw error
  })
  return {
    open: () => RawConnection.open({ path }),
    stop: async () => {
      await daemon.stop()
      await remove()
    },
  }
}
