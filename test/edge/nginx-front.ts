// Answers for nginx as a reverse proxy in front of a server: few connections to it, each used again and
// again by whoever comes, which is what a smuggled request needs.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startNginx } from '../support/nginx.ts'
import type { RawConnection } from '../support/raw-http.ts'

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

const siteOf = ({ port, buffersRequests }: FrontOptions, socket: string): string => `
  upstream registry {
    server 127.0.0.1:${port};
    keepalive 1;
    keepalive_requests 1000000;
  }
  server {
    listen unix:${socket};
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
`

/** Errors: an Error with nginx' last lines if it does not come up. */
export async function startFront(options: FrontOptions): Promise<Front> {
  const folder = await mkdtemp(join(tmpdir(), 'keelson-front-'))
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true })
  const nginx = await startNginx(folder, (socket) => siteOf(options, socket)).catch(
    async (error: unknown) => {
      await remove()
      throw error
    },
  )
  return {
    open: nginx.open,
    stop: async () => {
      await nginx.stop()
      await remove()
    },
  }
}
