// A program: answers pushes as a registry would and discards their bytes. What the push driver
// reaches against it is the driver's own ceiling. Its one argument is the port.

import { createServer, type Socket } from 'node:net'

const HEAD_END = Buffer.from('\r\n\r\n')
const ANSWERS: Readonly<Record<string, string>> = {
  POST: 'HTTP/1.1 202 Accepted\r\nLocation: /upload\r\nContent-Length: 0\r\n\r\n',
  PATCH: 'HTTP/1.1 202 Accepted\r\nLocation: /upload\r\nContent-Length: 0\r\n\r\n',
  PUT: 'HTTP/1.1 201 Created\r\nLocation: /blob\r\nContent-Length: 0\r\n\r\n',
}
const FINE = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'

function header(head: string, name: string): number | undefined {
  const value = new RegExp(`\\n${name}: (\\d+)`).exec(head)?.[1]
  return value === undefined ? undefined : Number(value)
}

function serve(socket: Socket): void {
  let pending: Buffer = Buffer.alloc(0)
  let answer = FINE
  let bodyLeft = 0
  socket.setNoDelay(true)
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk) => {
    if (bodyLeft > 0) {
      bodyLeft -= chunk.length
      if (bodyLeft === 0) socket.write(answer)
      return
    }
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
    const end = pending.indexOf(HEAD_END)
    if (end < 0) return
    const head = pending.toString('latin1', 0, end)
    answer = ANSWERS[head.slice(0, head.indexOf(' '))] ?? FINE
    const bodyBytes = header(head, 'Bench-Wire-Bytes') ?? header(head, 'Content-Length') ?? 0
    bodyLeft = bodyBytes - (pending.length - end - HEAD_END.length)
    pending = Buffer.alloc(0)
    if (bodyLeft === 0) socket.write(answer)
  })
}

createServer(serve).listen(Number(process.argv[2]), '127.0.0.1')
