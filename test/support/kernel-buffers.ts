// Answers for what a TCP connection can hold outside both processes, by this host's settings.

import { readFileSync } from 'node:fs'

/** Linux' own defaults where the host does not tell. */
const fallbackBytesMax = { tcp_rmem: 6 * 1024 * 1024, tcp_wmem: 4 * 1024 * 1024 }

function bytesMax(name: keyof typeof fallbackBytesMax): number {
  try {
    const last = readFileSync(`/proc/sys/net/ipv4/${name}`, 'utf8').trim().split(/\s+/).at(-1)
    return Number(last)
  } catch {
    return fallbackBytesMax[name]
  }
}

/** The sender's and the receiver's socket buffers at their largest, in bytes. */
export const kernelBytesMax: number = bytesMax('tcp_rmem') + bytesMax('tcp_wmem')
