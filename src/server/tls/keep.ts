// Keeps the TLS material of a running server: reads changed files, takes a new set only when all of it
// is good, renews ticket keys with their epoch, and warns of what will end.
import type { TlsConfig } from '../../config/schema.ts'
import { systemTimers, type Timers } from '../../file-watch/timers.ts'
import { FileWatch, stampOf } from '../../file-watch/watch-files.ts'
import type { Logger } from '../../telemetry/log.ts'
import { isoTime } from './certificates.ts'
import type { TlsMaterial } from './contract.ts'
import { type LoadedTls, loadTls } from './load.ts'
import { noticesOf } from './terms.ts'
import { TicketSecrets, ticketEpoch, ticketEpochMs } from './ticket-keys.ts'
import { pathsOf, TlsFileError, type TlsFiles, tlsFilesOf } from './tls-files.ts'

/** What metrics and the status page show. Units: ms since the epoch. */
export interface TlsStatus {
  readonly certificateNotAfterMs: number
  /** The earliest of the revocation lists. */
  readonly crlNextUpdateMs: number | undefined
  readonly lastReloadSuccessful: boolean
  /** New sets that were taken. */
  readonly reloads: number
  readonly reloadFailures: number
}

/** Time, as far as a keeper needs it. Both functions answer how to cancel. */
export interface KeeperClock extends Timers {
  now(): number
}

const systemClock: KeeperClock = { now: Date.now, ...systemTimers }

type KeeperLog = Pick<Logger, 'info' | 'warn' | 'error'>
type Renewal = (material: TlsMaterial) => void | Promise<void>

// Writers replace several files one after another.
const debounceMs = 100
const pollMs = 30_000

/**
 * Read the files and keep them. Errors: TlsFileError where the first set is not good.
 */
export async function keepTls(
  config: TlsConfig,
  log: KeeperLog,
  clock: KeeperClock = systemClock,
  secrets: TicketSecrets = new TicketSecrets(),
): Promise<TlsKeeper> {
  const keeper = new TlsKeeper(tlsFilesOf(config), log, clock, secrets)
  try {
    await keeper.start()
  } catch (error) {
    await keeper.close()
    throw error
  }
  return keeper
}

/** Begins with `start`. Reloads run one after another; a change during one makes another. */
export class TlsKeeper {
  readonly #log: KeeperLog
  readonly #clock: KeeperClock
  readonly #watch: FileWatch
  readonly #secrets: TicketSecrets
  readonly #renewals: Renewal[] = []
  #files: TlsFiles
  #loaded: LoadedTls | undefined
  #material: TlsMaterial | undefined
  #epoch = 0
  #stamp = ''
  #isRenewed = false
  #saidAtMs: ReadonlyMap<string, number> = new Map()
  #failure: string | undefined
  #reloads = 0
  #reloadFailures = 0
  #pending: Promise<boolean> | undefined
  #last: Promise<unknown> = Promise.resolve()
  #cancelTick: (() => void) | undefined
  #cancelDebounce: (() => void) | undefined
  #cancelRotation: (() => void) | undefined
  #isClosed = false

  constructor(
    files: TlsFiles,
    log: KeeperLog,
    clock: KeeperClock,
    secrets: TicketSecrets = new TicketSecrets(),
  ) {
    this.#secrets = secrets
    this.#files = files
    this.#log = log
    this.#clock = clock
    this.#watch = new FileWatch(() => this.#changed())
  }

  /** The set in use. */
  get material(): TlsMaterial {
    if (this.#material === undefined) throw new Error('the TLS keeper has not started')
    return this.#material
  }

  async start(): Promise<void> {
    const loaded = await this.#read()
    this.#take(loaded, loaded.material)
    for (const warning of loaded.warnings) this.#log.warn(warning)
    this.#notify()
    this.#cancelTick = this.#clock.every(pollMs, () => void this.#serially(() => this.#tick()))
    this.#scheduleRotation()
  }

  /**
   * Call this with every new set from now on, and at once where the first one was replaced already.
   * A renewal that rejects makes the reload fail.
   */
  onRenew(renewal: Renewal): void {
    this.#renewals.push(renewal)
    if (!this.#isRenewed) return
    void this.#serially(async () => {
      await Promise.resolve(renewal(this.material)).catch((error) => this.#failed(error))
    })
  }

  /** Read everything again; resolves to whether it is good. `config`: other files from now on. */
  reload(config?: TlsConfig): Promise<boolean> {
    if (config !== undefined) this.#files = tlsFilesOf(config)
    this.#pending ??= this.#serially(() => {
      this.#pending = undefined
      return this.#attempt()
    })
    return this.#pending
  }

  status(): TlsStatus {
    const lists = (this.#loaded?.terms ?? []).filter(({ kind }) => kind === 'crl')
    const ends = lists.map(({ untilMs }) => untilMs)
    return {
      certificateNotAfterMs: this.material.notAfterMs,
      crlNextUpdateMs: ends.length === 0 ? undefined : Math.min(...ends),
      lastReloadSuccessful: this.#failure === undefined,
      reloads: this.#reloads,
      reloadFailures: this.#reloadFailures,
    }
  }

  /** Idempotent; waits for a reload under way. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#watch.close()
    for (const cancel of [this.#cancelTick, this.#cancelDebounce, this.#cancelRotation]) cancel?.()
    await this.#last
  }

  #serially<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#last.then(action)
    this.#last = result.catch(() => undefined)
    return result
  }

  async #read(): Promise<LoadedTls> {
    const paths = pathsOf(this.#files)
    // Before reading: a change after this is seen, by a watch or by the next poll.
    await this.#watch.watch(paths)
    this.#stamp = await stampOf(paths)
    return loadTls(this.#files, this.#clock.now, this.#secrets)
  }

  async #attempt(): Promise<boolean> {
    if (this.#isClosed) return false
    try {
      const loaded = await this.#read()
      if (loaded.fingerprint !== this.#loaded?.fingerprint) {
        await this.#renew(loaded, loaded.material)
        this.#reloads += 1
        const { names, notAfterMs } = loaded.material
        this.#log.info({ names, notAfter: isoTime(notAfterMs) }, 'took new TLS files')
        for (const warning of loaded.warnings) this.#log.warn(warning)
      } else if (this.#failure !== undefined) {
        this.#log.info('the TLS files are again as they were')
      }
      this.#failure = undefined
      this.#notify()
      return true
    } catch (error) {
      this.#failed(error)
      return false
    }
  }

  #failed(error: unknown): void {
    this.#reloadFailures += 1
    const reason = error instanceof Error ? error.message : String(error)
    // The poll tries again and again, since some faults end with time.
    if (reason === this.#failure) return
    this.#failure = reason
    const detail = error instanceof TlsFileError ? { file: error.file } : { err: error }
    this.#log.error(detail, `the new TLS files are not used, the old ones stay: ${reason}`)
  }

  async #renew(loaded: LoadedTls, material: TlsMaterial): Promise<void> {
    await Promise.all(this.#renewals.map(async (renewal) => renewal(material)))
    this.#take(loaded, material)
    this.#isRenewed = true
  }

  #take(loaded: LoadedTls, material: TlsMaterial): void {
    this.#loaded = loaded
    this.#material = material
    this.#epoch = this.#epochNow()
  }

  #changed(): void {
    if (this.#isClosed) return
    this.#cancelDebounce ??= this.#clock.after(debounceMs, () => {
      this.#cancelDebounce = undefined
      void this.reload()
    })
  }

  async #tick(): Promise<void> {
    const stamp = await stampOf(pathsOf(this.#files))
    if (this.#isClosed) return
    if (stamp !== this.#stamp || this.#failure !== undefined) await this.#attempt()
    await this.#refresh()
    this.#notify()
  }

  /** The same files with what their age asks for: other ticket keys, no response that has ended. */
  async #refresh(): Promise<void> {
    const loaded = this.#loaded
    if (loaded === undefined || this.#isClosed) return
    const epoch = this.#epochNow()
    const nowMs = this.#clock.now()
    const ocspEnded = loaded.terms.some(({ kind, untilMs }) => kind === 'ocsp' && untilMs < nowMs)
    const dropsResponse = ocspEnded && this.material.ocspResponse !== undefined
    if (epoch === this.#epoch && !dropsResponse) return
    const ocspResponse = ocspEnded ? undefined : this.material.ocspResponse
    try {
      await this.#renew(loaded, { ...loaded.withKeysOf(epoch), ocspResponse })
    } catch (error) {
      this.#failed(error)
    }
  }

  #epochNow(): number {
    return ticketEpoch(this.#files.sessionTimeoutSeconds, this.#clock.now())
  }

  /** On time, so that servers which share a secret change keys together. */
  #scheduleRotation(): void {
    if (this.#isClosed) return
    const lengthMs = ticketEpochMs(this.#files.sessionTimeoutSeconds)
    this.#cancelRotation = this.#clock.after(lengthMs - (this.#clock.now() % lengthMs), () => {
      void this.#serially(() => this.#refresh())
      this.#scheduleRotation()
    })
  }

  #notify(): void {
    const nowMs = this.#clock.now()
    const notices = noticesOf(this.#loaded?.terms ?? [], nowMs)
    const said = new Map<string, number>()
    for (const { term, severity, message, repeatMs } of notices) {
      const key = `${term.file} ${term.untilMs} ${severity}`
      const saidAtMs = this.#saidAtMs.get(key)
      const isDue = saidAtMs === undefined || nowMs - saidAtMs >= repeatMs
      said.set(key, isDue ? nowMs : saidAtMs)
      if (!isDue) continue
      const detail = { file: term.file, until: isoTime(term.untilMs) }
      if (severity === 'error') this.#log.error(detail, message)
      else this.#log.warn(detail, message)
    }
    this.#saidAtMs = said
  }
}
