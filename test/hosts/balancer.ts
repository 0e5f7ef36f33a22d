// Answers for what stands before several hosts in tests: nginx that hands each request to the next one, whoever asks,
// passes bodies on as they come, and tries none of them twice.

import { startNginx } from '../support/nginx.ts'
import { freePort } from '../support/redis.ts'
import { needs } from '../support/tools.ts'
import type { HostNode } from './site.ts'
import { servedBy } from './weather.ts'

/** Options for `test()`. */
export const needsBalancer: { readonly skip: string | false } = needs('nginx')

export interface Balancer {
  readonly url: string
  /** Why it could not hand something on. */
  readonly log: readonly string[]
  stop(): Promise<unknown>
}

// None is left out for having failed: the hosts have to get along with what comes. Longer than an attempt of S3 and a
// statement may take, and shorter than what a whole request may.
function siteOf(port: number, nodes: readonly Behind[]): string {
  const servers = nodes
    .map((node) => `    server ${node.address}:${node.port} max_fails=0;\n`)
    .join('')
  return `
  upstream hosts {
${servers}  }
  server {
    listen 127.0.0.1:${port};
    error_log stderr error;
    client_max_body_size 0;
    location / {
      add_header ${servedBy} $upstream_addr always;
      proxy_pass http://hosts;
      proxy_http_version 1.1;
      # Otherwise it asks for the end of each connection, and takes a reset after an early refusal for a fault.
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_request_buffering off;
      proxy_next_upstream off;
      proxy_connect_timeout 2s;
      proxy_send_timeout 12s;
      proxy_read_timeout 12s;
    }
  }
`
}

type Behind = Pick<HostNode, 'address' | 'port'>

/** `dir` takes its files. */
export async function startBalancer(dir: string, nodes: readonly Behind[]): Promise<Balancer> {
  const port = await freePort()
  const nginx = await startNginx(dir, (socket) => {
    // It is asked by the socket whether it is up.
    return `server { listen unix:${socket}; location / { return 204; } }${siteOf(port, nodes)}`
  })
  return { url: `http://127.0.0.1:${port}`, log: nginx.log, stop: () => nginx.stop() }
}
