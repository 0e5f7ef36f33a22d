// All that maintenance asks of a metadata backend, beside what requests do.

import type { MetadataStore } from './contract.ts'
import type { DumpStore } from './dump.ts'
import type { GarbageStore } from './garbage.ts'
import type { JobStore } from './job-store.ts'
import type { RecordAuditStore } from './record-audit.ts'
import type { TagHistory } from './tag-history.ts'
import type { TagRetention, TagTimesStore } from './tag-times.ts'

export interface MaintenanceStore
  extends MetadataStore,
    DumpStore,
    GarbageStore,
    JobStore,
    RecordAuditStore,
    TagHistory,
    TagRetention,
    TagTimesStore {}
