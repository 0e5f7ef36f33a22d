// Writes bytes to standard output or standard error and never holds the event loop for it.
import { fstatSync, write, writeSync } from 'node:fs'

/** One write at a time. */
export interface LogSink {
  /** `written`: bytes that are out, also where the rest failed. */
  write(bytes: Uint8Array, done: (error: Error | undefined, written: number) => void): void
  /** At the very end, without waiting for a slow reader. Errors: as the system has them. */
  writeNow(bytes: Uint8Array): void
  /** Whether `writeNow` keeps clear of what `write` is at. */
  readonly keepsApart: boolean
}

const againMs = 50

/**
 * A pipe or a socket is written by the loop when it is ready. A thread that waited for it would also
 * keep the process from ending. Files are never ready or not: threads write them.
 */
export function openSink(descriptor: 1 | 2): LogSink {
  const stat = fstatSync(descriptor)
  return stat.isFIFO() || stat.isSocket() ? streamSink(descriptor) : fileSink(descriptor)
}

function ignore(): void {}

function streamSink(descriptor: 1 | 2): LogSink {
  const stream = descriptor === 1 ? process.stdout : process.stderr
  // Told to the callback, too; without a listener it would end the process.
  if (!stream.listeners('error').includes(ignore)) stream.on('error', ignore)
  return {
    write: (bytes, done) => {
      stream.write(bytes, (error) => done(error ?? undefined, error ? 0 : bytes.length))
    },
    // The stream has made the descriptor one that does not block.
    writeNow: (bytes) => void writeSync(descriptor, bytes),
    keepsApart: false,
  }
}

/** Of anything that is neither a pipe nor a socket. */
export function fileSink(descriptor: number): LogSink {
  return {
    write: (bytes, done) => writeRest(descriptor, bytes, 0, done),
    writeNow: (bytes) => void writeSync(descriptor, bytes),
    keepsApart: true,
  }
}

function writeRest(
  descriptor: number,
  bytes: Uint8Array,
  from: number,
  done: (error: Error | undefined, written: number) => void,
): void {
  write(descriptor, bytes, from, bytes.length - from, null, (error, count) => {
    if (error?.code === 'EAGAIN') {
      setTimeout(writeRest, againMs, descriptor, bytes, from, done)
      return
    }
    const written = from + (error ? 0 : count)
    if (error || written >= bytes.length) done(error ?? undefined, written)
    else writeRest(descriptor, bytes, written, done)
  })
}
