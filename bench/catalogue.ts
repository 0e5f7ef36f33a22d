// Every scenario and every subject, in the order of the report.

import type { Scenario, Subject, SubjectName } from './contract.ts'
import { keelson } from './launch.ts'
import { MEMORY } from './memory/scenarios.ts'
import { bareUws } from './reference/bare-uws.ts'
import { dockerRegistry } from './reference/docker-registry.ts'
import { nginxStatic } from './reference/nginx-static.ts'
import { nullSink } from './reference/null-sink.ts'
import { opensslSha256 } from './reference/openssl-sha256.ts'
import { angos, distribution, zot } from './reference/peers.ts'
import { blobGet1MiB } from './scenario/blob-get-1mib.ts'
import { blobGet8KiB } from './scenario/blob-get-8kib.ts'
import { blobGet256MiB } from './scenario/blob-get-256mib.ts'
import { blobHead } from './scenario/blob-head.ts'
import { coldCache8MiB, coldCache256KiB } from './scenario/cold-cache.ts'
import { connectionCounts } from './scenario/connections.ts'
import { guardedManifestGets } from './scenario/guarded-manifest-get.ts'
import { imagePush, imageRepush } from './scenario/image-push.ts'
import { latencyBeside } from './scenario/latency-beside.ts'
import { manifestGetByDigest } from './scenario/manifest-get-by-digest.ts'
import { manifestGetByTag } from './scenario/manifest-get-by-tag.ts'
import { manifestHeadByDigest } from './scenario/manifest-head-by-digest.ts'
import { manifestHeadByTag } from './scenario/manifest-head-by-tag.ts'
import { manifestKnown } from './scenario/manifest-known.ts'
import { mixed90To10 } from './scenario/mixed-90-10.ts'
import { ping } from './scenario/ping.ts'
import { push100KiBDocker } from './scenario/push-100kib-docker.ts'
import { push100KiBMonolithic } from './scenario/push-100kib-monolithic.ts'
import { push256MiBx1 } from './scenario/push-256mib-x1.ts'
import { push256MiBx4 } from './scenario/push-256mib-x4.ts'
import { push256MiBx16 } from './scenario/push-256mib-x16.ts'
import { push256MiBx1AllCores, push256MiBx4AllCores } from './scenario/push-all-cores.ts'
import { pushChunked8MiB } from './scenario/push-chunked-8mib.ts'
import { pullsAbort, rangesAbort } from './scenario/ranges-abort.ts'
import { requestsAllCores } from './scenario/requests-all-cores.ts'
import { slowUploads } from './scenario/slow-uploads.ts'
import { tagList } from './scenario/tag-list.ts'
import { mtlsBlobGet256MiB, tlsBlobGet256MiB } from './scenario/tls-blob-get-256mib.ts'
import { tlsConnects } from './scenario/tls-connect.ts'
import { tlsHandshakeRsa, tlsHandshakes } from './scenario/tls-handshake.ts'
import { mtlsManifestGet, tlsManifestGet } from './scenario/tls-manifest-get.ts'
import { tokenIssue, tokenIssueCold } from './scenario/token-issue.ts'
import { uploadsInFlight } from './scenario/uploads-in-flight.ts'

export type GroupName = 'reads' | 'guards' | 'pushes' | 'clients' | 'memory' | 'tls'

/** Every scenario, in one group each. */
export const GROUPS: Readonly<Record<GroupName, readonly Scenario[]>> = {
  reads: [
    manifestGetByTag,
    manifestGetByDigest,
    manifestHeadByTag,
    manifestHeadByDigest,
    manifestKnown,
    blobHead,
    tagList,
    ping,
    blobGet8KiB,
    blobGet1MiB,
    blobGet256MiB,
    coldCache256KiB,
    coldCache8MiB,
  ],
  guards: [...guardedManifestGets, requestsAllCores, tokenIssue, tokenIssueCold],
  pushes: [
    push256MiBx1,
    push256MiBx4,
    push256MiBx16,
    pushChunked8MiB,
    push256MiBx1AllCores,
    push256MiBx4AllCores,
    push100KiBDocker,
    push100KiBMonolithic,
    imagePush,
    imageRepush,
  ],
  clients: [
    ...connectionCounts,
    rangesAbort,
    pullsAbort,
    mixed90To10,
    latencyBeside,
    ...slowUploads,
  ],
  memory: [uploadsInFlight, ...MEMORY],
  tls: [
    tlsManifestGet,
    mtlsManifestGet,
    tlsBlobGet256MiB,
    mtlsBlobGet256MiB,
    ...tlsHandshakes,
    tlsHandshakeRsa,
    ...tlsConnects,
  ],
}

export const SCENARIOS: readonly Scenario[] = Object.values(GROUPS).flat()

/** What a run without flags measures: the figures of the README, in less than 40 minutes. */
export const HEADLINES: readonly Scenario[] = [
  manifestGetByTag,
  tlsManifestGet,
  ...guardedManifestGets,
  requestsAllCores,
  blobHead,
  blobGet256MiB,
  tlsBlobGet256MiB,
  rangesAbort,
  push256MiBx1,
  push256MiBx1AllCores,
  push256MiBx4,
  push100KiBDocker,
  imagePush,
  imageRepush,
  latencyBeside,
]

export const SUBJECTS: Readonly<Record<SubjectName, Subject>> = {
  keelson,
  'nginx-static': nginxStatic,
  'bare-uws': bareUws,
  'docker-registry': dockerRegistry,
  zot,
  distribution,
  angos,
  'null-sink': nullSink,
  'openssl-sha256': opensslSha256,
}
