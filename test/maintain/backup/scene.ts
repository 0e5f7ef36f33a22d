// Answers for a directory for backups beside a registry in this process, and images in it.

import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import {
  type BackupInput,
  type BackupSettings,
  createBackupJob,
} from '../../../src/maintain/backup/create.ts'
import type { Job } from '../../../src/maintain/job/contract.ts'
import type { Digest } from '../../../src/oci/digest.ts'
import { type MaintainScene, withScene } from '../../support/maintain.ts'

const plain: BackupSettings = { storePaths: [], overwrites: false, rateBytes: 0 }

export function backupJob(settings: Partial<BackupSettings> = {}): Job<BackupInput> {
  return createBackupJob(() => ({ ...plain, ...settings }))
}

/** A registry with its blobs in files, and an empty directory. Both are removed after `body`. */
export async function withBackup(
  body: (scene: MaintainScene, to: string) => Promise<void>,
): Promise<void> {
  await withFolder((to) => withScene({ stores: 'lmdb' }, (scene) => body(scene, to)))
}

export async function withFolder(body: (path: string) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), 'keelson-backup-'))
  try {
    await body(path)
  } finally {
    await rm(path, { recursive: true, force: true })
  }
}

/** A manifest with a config and a layer of its own, named by their text. */
export async function pushImage(
  scene: MaintainScene,
  repository: string,
  tag: string,
  text = `${repository}:${tag}`,
): Promise<{ readonly manifest: Digest; readonly blobs: readonly Digest[] }> {
  const contents = [Buffer.from(`{"config":"${text}"}`), Buffer.from(`layer ${text}`)]
  const [config, layer] = await Promise.all(
    contents.map((bytes) => scene.pushBlob(repository, bytes)),
  )
  const [{ length: configSize } = { length: 0 }, { length: layerSize } = { length: 0 }] = contents
  const manifest = await scene.pushManifest(
    repository,
    {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: config,
        size: configSize,
      },
      layers: [
        {
          mediaType: 'application/vnd.oci.image.layer.v1.tar',
          digest: layer,
          size: layerSize,
        },
      ],
    },
    tag,
  )
  return { manifest, blobs: [config!, layer!] }
}

/** Every file below it, by its path from there. */
export async function filesIn(root: string): Promise<readonly string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort()
}
