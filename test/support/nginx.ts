// Answers for nginx with a site of the test's own, as one process that listens on a unix socket.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startListening } from './daemon.ts'
import { RawConnection } from './raw-http.ts'
import { findTool } from './tools.ts'

export interface Nginx {
  readonly socket: string
  /** What it says; a site may ask for more than `crit`. */
  readonly log: readonly string[]
  /** A client's connection to it. */
  open(): Promise<RawConnection>
  stop(): Promise<unknown>
}

function configuration(dir: string, site: string): string {
  const scratch = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `  ${name}_temp_path ${dir}/${name};\n`)
    .join('')
  // No master: the workers of root's would be another user, who may not enter the folder.
  return `daemon off;
master_process off;
pid ${dir}/nginx.pid;
error_log stderr crit;
events { worker_connections 256; }
http {
  access_log off;
${scratch}${site}}
`
}

/**
 * `dir` is there, and takes its files; `siteOf`: what stands in the `http` block, for this socket.
 * Errors: an Error with nginx' last lines if it does not come up.
 */
export async function startNginx(dir: string, siteOf: (socket: string) => string): Promise<Nginx> {
  const socket = join(dir, 'front.sock')
  const file = join(dir, 'nginx.conf')
  await writeFile(file, configuration(dir, siteOf(socket)))
  const args = ['-p', dir, '-c', file]
  const daemon = await startListening(socket, findTool('nginx') ?? 'nginx', args)
  const { log } = daemon
  return {
    socket,
    log,
    open: () => RawConnection.open({ path: socket }),
    stop: () => daemon.stop(),
  }
}
