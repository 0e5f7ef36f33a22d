// The requests whose cost is followed as a store or a configuration grows.

import { digestOfBytes } from '../../src/oci/digest.ts'
import type { Ask, Work } from './ask-many.ts'
import { blobDigestOf, manifestOf, mediaType, repositoryOf, type StoreSize, tagOf } from './fill.ts'

export interface WorkKind {
  readonly name: string
  readonly of: (size: StoreSize, headers: readonly string[], dice: () => number) => Work
}

const page = 100

function read(path: string, headers: readonly string[], method = 'GET'): Ask {
  return { method, path, headers, body: [], status: 200 }
}

/** Any tag of the first repository, or the one of any repository. */
function anyManifest({ tags, repositories }: StoreSize, dice: () => number): string {
  const at = Math.floor(dice() * Math.max(tags, repositories))
  const [repository, tag] = tags >= repositories ? [0, at] : [at, 0]
  return `/v2/${repositoryOf(repository)}/manifests/${tagOf(tag)}`
}

function anyRepository({ repositories }: StoreSize, dice: () => number): string {
  return repositoryOf(Math.floor(dice() * repositories))
}

/** A blob of some bytes and a manifest that names it: three requests. */
function pushes(repository: () => string, headers: readonly string[], dice: () => number): Work {
  // Never the same twice in a store, whatever was pushed there before.
  const run = `${process.hrtime.bigint()}-${dice()}`
  return (number) => {
    const name = repository()
    const blob = Buffer.from(`layer ${run} ${number}`)
    const digest = digestOfBytes('sha256', blob)
    const manifest = manifestOf(digest, blob.length, `${run} ${number}`)
    const upload = `/v2/${name}/blobs/uploads/?digest=${digest}`
    const exists = `/v2/${name}/blobs/${digest}`
    const tag = `/v2/${name}/manifests/push-${number % 16}`
    const length = (bytes: Buffer): string => `Content-Length: ${bytes.length}`
    return [
      { method: 'HEAD', path: exists, headers, body: [], status: 404 },
      {
        ...{ method: 'POST', path: upload, body: [blob], status: 201 },
        headers: [...headers, length(blob)],
      },
      {
        ...{ method: 'PUT', path: tag, body: [manifest], status: 201 },
        headers: [...headers, length(manifest), `Content-Type: ${mediaType}`],
      },
    ]
  }
}

export const WORK: readonly WorkKind[] = [
  {
    name: 'manifest GET, one tag',
    of: (_, headers) => {
      const asks = [read(`/v2/${repositoryOf(0)}/manifests/${tagOf(0)}`, headers)]
      return () => asks
    },
  },
  {
    name: 'manifest GET, any tag',
    of: (size, headers, dice) => () => [read(anyManifest(size, dice), headers)],
  },
  {
    name: 'blob HEAD, any blob',
    of: (size, headers, dice) => () => {
      const many = size.blobs >= size.repositories
      const repository = many ? repositoryOf(0) : anyRepository(size, dice)
      const digest = blobDigestOf(many ? Math.floor(dice() * size.blobs) : 0)
      return [read(`/v2/${repository}/blobs/${digest}`, headers, 'HEAD')]
    },
  },
  {
    name: 'tags, first page',
    of: (_, headers) => () => [read(`/v2/${repositoryOf(0)}/tags/list?n=${page}`, headers)],
  },
  {
    name: 'tags, last page',
    of: ({ tags }, headers) => {
      const last = tagOf(Math.max(0, tags - page - 1))
      return () => [read(`/v2/${repositoryOf(0)}/tags/list?n=${page}&last=${last}`, headers)]
    },
  },
  {
    name: 'catalogue, first page',
    of: (_, headers) => () => [read(`/v2/_catalog?n=${page}`, headers)],
  },
  {
    name: 'catalogue, last page',
    of: ({ repositories }, headers) => {
      const last = repositoryOf(Math.max(0, repositories - page - 1))
      return () => [read(`/v2/_catalog?n=${page}&last=${last}`, headers)]
    },
  },
  {
    name: 'push of a small image',
    of: (size, headers, dice) => pushes(() => anyRepository(size, dice), headers, dice),
  },
]
