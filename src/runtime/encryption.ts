// The master keys of a configuration: read already, or asked of a program.

import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { Config, EncryptionConfig } from '../config/schema.ts'
import { parseKeys, type SealingKeys } from '../sealing/keys.ts'
import { foreignTreeProblem } from '../storage/blob/fs/foreign-tree.ts'
import { keyProblem } from '../storage/blob/fs/key-list.ts'
import { listBlobs } from '../storage/blob/fs/list-tree.ts'
import { wrapIdsNow } from '../storage/blob/fs/sealed-files.ts'
import { dataKey } from '../storage/blob/keys.ts'
import type { MaintenanceStore } from '../storage/metadata/maintenance.ts'

const outputBytesMax = 64 * 1024

/** Undefined where nothing is encrypted. Errors: Error with a message for the operator, without what was printed. */
export async function openKeys({
  blobStore,
}: Pick<Config, 'blobStore'>): Promise<SealingKeys | undefined> {
  if (blobStore.kind !== 'fs' || blobStore.encryption === undefined) return undefined
  const { keysCommand } = blobStore.encryption
  const keys = blobStore.encryption.keys?.reveal() ?? ''
  if (keysCommand === undefined) return parseKeys(keys)
  const name = `blob_store.fs.encryption.keys_command: ${keysCommand}`
  let text: string
  try {
    text = await outputOf(keysCommand, blobStore.encryption)
  } catch (error) {
    throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`)
  }
  try {
    return parseKeys(text, keys)
  } catch (error) {
    throw new Error(`${name}: of what it printed ${(error as Error).message}`)
  }
}

/**
 * Why the blobs cannot be read with the keys of a configuration, or not be encrypted; undefined where they can. Errors: as `openKeys`;
 * StorageError where the list of keys cannot be read.
 */
export async function encryptionProblem(config: Config): Promise<string | undefined> {
  const { blobStore } = config
  if (blobStore.kind !== 'fs') return undefined
  const problem = await keyProblem(blobStore.rootDir, await openKeys(config))
  if (problem !== undefined || blobStore.encryption === undefined) return problem
  return foreignTreeProblem(blobStore.rootDir)
}

/** Errors: Error for the operator, where blobs that are another registry's, too, would be encrypted; as `readAdoption`. */
export async function requireNotAdopted(
  { blobStore }: Config,
  metadata: Pick<MaintenanceStore, 'readAdoption'>,
): Promise<void> {
  if (blobStore.kind !== 'fs' || blobStore.encryption === undefined) return
  const adoption = await metadata.readAdoption()
  if (adoption === undefined) return
  throw new Error(
    `blobs in ${blobStore.rootDir} cannot be encrypted: they are those of ${adoption.of}, which would serve the encrypted bytes. Take out [blob_store.fs.encryption]; where that registry is gone for good, run keelson import --take-over without it first`,
  )
}

// Digests are random, so the first ones are as good as any.
const sampledMax = 500

/**
 * How many of the first blobs are not encrypted, where new ones are; undefined elsewhere. Limits: 500 are looked at.
 * Errors: StorageError where they cannot be.
 */
export async function sampleBlobs({
  blobStore,
}: Config): Promise<{ readonly looked: number; readonly plain: number } | undefined> {
  if (blobStore.kind !== 'fs' || blobStore.encryption === undefined) return undefined
  let [looked, plain] = [0, 0]
  // Whatever the size, so that each is looked at once.
  for await (const { digest } of listBlobs(blobStore.rootDir, async () => 0)) {
    const ids = wrapIdsNow(join(blobStore.rootDir, dataKey(digest)))
    looked += 1
    if (ids === undefined) plain += 1
    if (looked === sampledMax) break
  }
  return { looked, plain }
}

/** Errors: Error for the operator. */
function spawned(path: string): ChildProcessByStdio<null, Readable, null> {
  try {
    return spawn(path, [], { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
  } catch (error) {
    throw new Error(`cannot run it: ${(error as NodeJS.ErrnoException).code ?? ''}`)
  }
}

/** What it says on its error output goes to ours. */
function outputOf(path: string, { keysTimeoutMs }: EncryptionConfig): Promise<string> {
  return new Promise((resolve, reject) => {
    // A group of its own, so that what it has started ends with it.
    const child = spawned(path)
    // Without one the error follows.
    const stdout: Readable | undefined = child.stdout
    const chunks: Buffer[] = []
    let size = 0
    const end = (problem: string): void => {
      clearTimeout(timer)
      stdout?.destroy()
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      } catch {
        // It has ended by itself.
      }
      reject(new Error(problem))
    }
    const timer = setTimeout(
      () => end(`it took longer than keys_timeout, ${keysTimeoutMs} ms`),
      keysTimeoutMs,
    )
    stdout?.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      size += chunk.length
      if (size > outputBytesMax) end(`it printed more than ${outputBytesMax} bytes`)
    })
    child.on('error', (error: NodeJS.ErrnoException) => end(`cannot run it: ${error.code ?? ''}`))
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      if (code !== 0)
        end(code === null ? `it was ended by ${signal}` : `it ended with code ${code}`)
      else resolve(Buffer.concat(chunks).toString('utf8'))
      for (const chunk of chunks) chunk.fill(0)
    })
  })
}
