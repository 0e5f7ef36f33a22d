// What the pools may run in a thread, by name.

export { serveIngest } from './serve-ingest.ts'
