// The service times that the paper plan rests on, each with the run that it was measured in.

export interface ServiceTime {
  readonly value: number
  readonly source: string
}

const whole = 'bench/result/2026-11-22-da6729113c.json'
const tls = 'bench/result/2026-11-22-3f58d74163-tls.json'
const scale = 'bench/result/2026-11-22-scale.json'

/** µs of CPU for each request, handshake or image; seconds of CPU for each GB (1e9 bytes). */
export const MEASURED: Readonly<Record<MeasuredName, ServiceTime>> = {
  /** A manifest GET by tag, while several processes share the store, which is looked at each time. */
  requestPlain: { value: 15.19, source: scale },
  requestTls: { value: 11.77, source: tls },
  /** What a shared store adds to each request, against one that a process owns. */
  sharedLook: { value: 3.72, source: scale },
  handshake: { value: 253.9, source: tls },
  blobPlain: { value: 0.3137, source: whole },
  blobTls: { value: 0.7515, source: tls },
  /** Received, hashed and written: 256 MiB, four streams, on disk. */
  pushedBytes: { value: 1.745, source: whole },
  /** A small image whose bytes do not count: three requests. */
  pushedImage: { value: 2273, source: scale },
  /** What the one writer of the metadata store is busy with an image. */
  writerImage: { value: 868.3, source: scale },
}

export type MeasuredName =
  | 'requestPlain'
  | 'requestTls'
  | 'sharedLook'
  | 'handshake'
  | 'blobPlain'
  | 'blobTls'
  | 'pushedBytes'
  | 'pushedImage'
  | 'writerImage'

export function measured(name: MeasuredName): number {
  return MEASURED[name].value
}
