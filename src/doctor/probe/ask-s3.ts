// Asks a bucket for its first key, as the server does when it starts, and for the time at its host.
import type { S3Config } from '../../config/schema.ts'
import { askBucket } from '../../storage/blob/s3/ask.ts'
import type { SkewFacts } from '../check/clock.ts'
import type { ServiceFacts } from '../check/services.ts'
import { factsOf, patienceMs } from './ask.ts'
import { askClock } from './clock.ts'

const remedy =
  'see that endpoint, region, path_style and bucket are right, that the keys may list it, and that server_ca_bundle is the CA of its certificate'

/** `onSkew`: what its clock says; requests are signed with the time. Where it has CAs of its own it is not asked. */
export async function askS3(
  config: S3Config,
  onSkew: (skew: SkewFacts) => void,
): Promise<ServiceFacts> {
  const { endpoint = `the AWS region ${config.region}`, bucket, serverCaBundle } = config
  const url = `${endpoint}/${bucket}`
  let isVersioned = false
  const ask = async (): Promise<string> => {
    const told = await askBucket(config, patienceMs / 2)
    isVersioned = told.isVersioned
    return 'answers'
  }
  const facts = await factsOf({ kind: 's3', name: '', url }, ask, remedy)
  if (config.endpoint !== undefined && serverCaBundle === undefined && facts.fault === undefined) {
    onSkew(await askClock(new URL(config.endpoint), Date.now))
  }
  const detail = 'it keeps old versions, so that garbage collection frees no room'
  const fix = { remedy: 'let a lifecycle rule remove old versions' }
  return isVersioned ? { ...facts, doubts: [{ detail, fix }] } : facts
}
