// Another registry as a source of imports: over HTTP, gone on with where it breaks off.

import type { Digest } from '../../../oci/digest.ts'
import { parseDigest } from '../../../oci/digest.ts'
import { parseRepositoryName } from '../../../oci/name.ts'
import { parseTag, type Tag } from '../../../oci/tag.ts'
import type { RemoteRegistry } from '../../../outbound/registry/contract.ts'
import {
  type Importer,
  type ImportFault,
  type ImportRequest,
  type ImportRoot,
  type ImportSource,
  type SourceBlob,
  SourceGoneError,
  type SourceLimits,
  type SourceManifest,
} from '../contract.ts'

/** Opens what `--from registry` names. Errors: Error with a message for the operator. */
export type OpenRemote = (source: string, limits: SourceLimits) => Promise<RemoteRegistry>

/** Whatever else fails for the moment, this many times in a row is an end. */
const failuresMax = 5
const repositoriesMax = 1_000_000
const shownLengthMax = 300

export function createRegistryImporter(openRemote: OpenRemote): Importer {
  return {
    from: 'registry',
    check: ({ options }) => {
      const only = onlyOf(options)
      if (only === undefined) return 'only: expected names of repositories'
      const odd = only.find((name) => parseRepositoryName(name) === undefined)
      return odd === undefined ? undefined : `only: ${JSON.stringify(odd)} is no repository name`
    },
    open: async (request, limits, signal) => {
      const remote = await openRemote(request.source, limits)
      try {
        return new RegistrySource(remote, request, await namesOf(remote, request, signal), signal)
      } catch (error) {
        await remote.close()
        throw error
      }
    },
  }
}

class RegistrySource implements ImportSource {
  readonly title: string
  readonly isSorted = true
  readonly #remote: RemoteRegistry
  readonly #names: readonly string[]
  readonly #signal: AbortSignal
  #failuresInRow = 0

  constructor(
    remote: RemoteRegistry,
    { source }: ImportRequest,
    names: readonly string[],
    signal: AbortSignal,
  ) {
    this.title = `registry ${source}`
    this.#remote = remote
    this.#names = names
    this.#signal = signal
  }

  async *repositories(after?: string): AsyncGenerator<string | ImportFault> {
    for (const name of this.#names) {
      if (after !== undefined && name <= after) continue
      if (parseRepositoryName(name) !== undefined) yield name
      else yield { repository: shown(name), reason: 'this is no name of a repository' }
    }
  }

  async *roots(repository: string): AsyncGenerator<ImportRoot | ImportFault> {
    const tags = this.#remote.tags(repository, this.#signal)[Symbol.asyncIterator]()
    for (;;) {
      const { done, value } = await this.#asked(() => tags.next())
      if (done === true) return
      const tag = parseTag(value)
      if (tag === undefined) yield { repository, reference: shown(value), reason: 'this is no tag' }
      else yield { tag }
    }
  }

  async readManifest(
    repository: string,
    reference: Digest | Tag,
  ): Promise<SourceManifest | undefined> {
    const found = await this.#asked(() =>
      this.#remote.manifest(repository, reference, this.#signal),
    )
    if (found === undefined) return undefined
    const { bytes, mediaType } = found
    return mediaType === '' ? { bytes } : { bytes, mediaType }
  }

  async *referrersOf(repository: string, digest: Digest): AsyncGenerator<Digest> {
    const found = await this.#asked(() => this.#remote.referrers(repository, digest, this.#signal))
    for (const text of found) {
      const referrer = parseDigest(text)
      if (referrer !== undefined) yield referrer
    }
  }

  // Whether it is there shows when it is opened, which saves a request for each.
  async findBlob(repository: string, digest: Digest): Promise<SourceBlob> {
    return {
      kind: 'stream',
      open: async (signal) => this.#readBlob(repository, digest, signal),
    }
  }

  close(): Promise<void> {
    return this.#remote.close()
  }

  async *#readBlob(
    repository: string,
    digest: Digest,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    let offset = 0
    for (;;) {
      const from = offset
      const blob = await this.#asked(() =>
        this.#remote.blob(repository, digest, { offset, signal }),
      )
      if (blob === undefined) throw new Error(`the registry has no blob ${digest}`)
      const chunks = blob.body[Symbol.asyncIterator]()
      try {
        for (;;) {
          const { done, value } = await chunks.next()
          if (done === true) return
          offset += value.length
          yield value
        }
      } catch (error) {
        signal.throwIfAborted()
        // A connection that broke after it brought something is one to go on from.
        if (!isUnavailable(error) || offset === from) throw this.#failed(error)
      } finally {
        blob.cancel()
      }
    }
  }

  async #asked<T>(ask: () => Promise<T>): Promise<T> {
    try {
      const answer = await ask()
      this.#failuresInRow = 0
      return answer
    } catch (error) {
      this.#signal.throwIfAborted()
      throw this.#failed(error)
    }
  }

  // One thing that a registry cannot give is a fault of that thing; when it gives nothing any more, it is gone.
  #failed(error: unknown): unknown {
    if (!isUnavailable(error)) return error
    this.#failuresInRow += 1
    if (this.#failuresInRow < failuresMax) return error
    const message = error instanceof Error ? error.message : 'it does not answer any more'
    return new SourceGoneError(message, { cause: error })
  }
}

async function namesOf(
  remote: RemoteRegistry,
  { options }: ImportRequest,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const only = onlyOf(options) ?? []
  if (only.length > 0) return [...new Set(only)].sort()
  const names = new Set<string>()
  try {
    for await (const name of remote.repositories(signal)) {
      names.add(name)
      if (names.size > repositoriesMax) throw new Error(`more than ${repositoriesMax} repositories`)
    }
  } catch (error) {
    if (problemOf(error) !== 'absent') throw error
    throw new Error('the registry does not list its repositories: name them, with --only', {
      cause: error,
    })
  }
  return [...names].sort()
}

function onlyOf({ only = [] }: Readonly<Record<string, unknown>>): readonly string[] | undefined {
  if (!Array.isArray(only)) return undefined
  return only.every((name) => typeof name === 'string') ? only : undefined
}

// By its field: the class lives in a room that this one knows by its types alone.
function problemOf(error: unknown): unknown {
  return error instanceof Error && 'problem' in error ? error.problem : undefined
}

function isUnavailable(error: unknown): boolean {
  return problemOf(error) === 'unavailable'
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, shownLengthMax)).slice(1, -1)
}
