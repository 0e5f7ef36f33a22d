// Answers for a container runtime's image service as the kubelet uses it: one gRPC call over its unix
// socket. Source: k8s.io/cri-api, runtime/v1/api.proto; grpc/doc/PROTOCOL-HTTP2.md.
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2'
import { connect } from 'node:net'

/**
 * ImageService.PullImage: the id of the image.
 * Errors: an Error with what the runtime says where it cannot pull it.
 */
export async function pullImage(socket: string, reference: string): Promise<string> {
  // PullImageRequest { ImageSpec image = 1 { string image = 1 } }
  const spec = field(Buffer.from(reference))
  const message = await call(socket, '/runtime.v1.ImageService/PullImage', field(spec))
  // PullImageResponse { string image_ref = 1 }
  return message.subarray(2).toString()
}

/** Field 1, which has a length. */
function field(bytes: Buffer): Buffer {
  if (bytes.length > 127) throw new Error('a length of more than one byte')
  return Buffer.concat([Buffer.from([0x0a, bytes.length]), bytes])
}

function call(socket: string, path: string, message: Buffer): Promise<Buffer> {
  const session = connectHttp2('http://runtime', { createConnection: () => connect(socket) })
  return new Promise<Buffer>((resolve, reject) => {
    session.once('error', reject)
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    const chunks: Buffer[] = []
    let trailers: IncomingHttpHeaders = {}
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    // A call that fails at once has its status in the headers.
    stream.on('response', (headers) => {
      trailers = headers
    })
    stream.on('trailers', (headers) => {
      trailers = headers
    })
    stream.once('error', reject)
    stream.once('end', () => {
      if (trailers['grpc-status'] === '0') resolve(Buffer.concat(chunks).subarray(5))
      else reject(new Error(`${path}: ${trailers['grpc-status']} ${trailers['grpc-message']}`))
    })
    // Not compressed, then the length.
    const prefix = Buffer.alloc(5)
    prefix.writeUInt32BE(message.length, 1)
    stream.end(Buffer.concat([prefix, message]))
  }).finally(() => session.destroy())
}
