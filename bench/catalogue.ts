// Every scenario and every subject, in the order of the report.

import type { Scenario, Subject, SubjectName } from './contract.ts'
import { keelson } from './launch.ts'
import { dockerRegistry } from './reference/docker-registry.ts'
import { nginxStatic } from './reference/nginx-static.ts'
import { nullSink } from './reference/null-sink.ts'
import { opensslSha256 } from './reference/openssl-sha256.ts'
import { blobGet8KiB } from './scenario/blob-get-8kib.ts'
import { blobGet256MiB } from './scenario/blob-get-256mib.ts'
import { manifestGetByDigest } from './scenario/manifest-get-by-digest.ts'
import { manifestGetByTag } from './scenario/manifest-get-by-tag.ts'
import { manifestHeadByTag } from './scenario/manifest-head-by-tag.ts'
import { push100KiBDocker } from './scenario/push-100kib-docker.ts'
import { push100KiBMonolithic } from './scenario/push-100kib-monolithic.ts'
import { push256MiBx1 } from './scenario/push-256mib-x1.ts'
import { push256MiBx4 } from './scenario/push-256mib-x4.ts'
import { mtlsBlobGet256MiB, tlsBlobGet256MiB } from './scenario/tls-blob-get-256mib.ts'
import { tlsConnects } from './scenario/tls-connect.ts'
import { tlsHandshakeRsa, tlsHandshakes } from './scenario/tls-handshake.ts'
import { mtlsManifestGet, tlsManifestGet } from './scenario/tls-manifest-get.ts'
import { uploadsInFlight } from './scenario/uploads-in-flight.ts'

export const SCENARIOS: readonly Scenario[] = [
  manifestGetByTag,
  manifestGetByDigest,
  manifestHeadByTag,
  blobGet8KiB,
  blobGet256MiB,
  push256MiBx1,
  push256MiBx4,
  push100KiBDocker,
  push100KiBMonolithic,
  uploadsInFlight,
  tlsManifestGet,
  mtlsManifestGet,
  tlsBlobGet256MiB,
  mtlsBlobGet256MiB,
  ...tlsHandshakes,
  tlsHandshakeRsa,
  ...tlsConnects,
]

export const SUBJECTS: Readonly<Record<SubjectName, Subject>> = {
  keelson,
  'nginx-static': nginxStatic,
  'docker-registry': dockerRegistry,
  'null-sink': nullSink,
  'openssl-sha256': opensslSha256,
}
