// A pull storm: many nodes fetch one image at about the same time. Events are arrivals and ends; between
// them all pulls under way get the same rate, so that an end is known by how much one pull got since it began.

export interface Storm {
  readonly nodes: number
  readonly imageBytes: number
  /** The nodes begin within so many seconds, evenly by dice. */
  readonly spread: number
  /** Bytes per second that a node can take, and give to its peers. */
  readonly nodeDown: number
  readonly nodeUp: number
  /** Bytes per second of images that all hosts of the registry send together. */
  readonly source: number
  /**
   * How many copies the peers fetch from the registry, when they give one another the rest; undefined
   * where each node pulls for itself.
   */
  readonly peerCopies?: number
  /** Seconds before a pull's first byte: its small requests and handshakes. */
  readonly preamble: number
}

export interface StormResult {
  /** Seconds from a node's begin to its end: the middle one, and 99 of 100. */
  readonly p50: number
  readonly p99: number
  /** From the first begin to the last end. */
  readonly last: number
  readonly registryBytes: number
}

// Of what a node has on its way, so much can be given on at a time: half of it, on the average.
const partShared = 0.5

interface Swarm {
  readonly active: number
  readonly done: number
}

/** Bytes per second that each pull under way gets. */
function rateOf(storm: Storm, { active, done }: Swarm): number {
  const { source, nodeDown, nodeUp, peerCopies } = storm
  if (peerCopies === undefined) return Math.min(nodeDown, source / active)
  // Once so many copies are out there, the registry is asked no more.
  const fromSource = done >= peerCopies ? 0 : Math.min(source, peerCopies * nodeDown)
  const fromPeers = nodeUp * (done + partShared * Math.max(0, active - 1))
  return Math.min(nodeDown, (fromSource + fromPeers) / active)
}

function quantileOf(ascending: readonly number[], share: number): number {
  const at = Math.min(ascending.length - 1, Math.ceil(share * ascending.length) - 1)
  return ascending[Math.max(0, at)] ?? Number.NaN
}

/** Deterministic for the same `dice`. Limits: 100,000 nodes. */
export function simulateStorm(storm: Storm, dice: () => number): StormResult {
  const begins = Array.from({ length: storm.nodes }, () => dice() * storm.spread).sort(
    (a, b) => a - b,
  )
  const durations: number[] = []
  // Those under way began in order and get the same, so they end in order: a queue is enough.
  const marks: { readonly begin: number; readonly got: number }[] = []
  let [now, got, arrived, ended, last] = [0, 0, 0, 0, 0]
  while (ended < storm.nodes) {
    const active = arrived - ended
    const rate = active === 0 ? 0 : rateOf(storm, { active, done: ended })
    const nextBegin = begins[arrived]
    const arrival = nextBegin === undefined ? Infinity : nextBegin + storm.preamble
    const first = marks[ended]
    const end = first === undefined ? Infinity : now + (first.got + storm.imageBytes - got) / rate
    const then = Math.min(arrival, end)
    got += rate * (then - now)
    now = then
    if (nextBegin !== undefined && arrival <= end) {
      marks.push({ begin: nextBegin, got })
      arrived += 1
    } else if (first !== undefined) {
      durations.push(now - first.begin)
      last = now
      ended += 1
    }
  }
  const ascending = durations.sort((a, b) => a - b)
  const copies = Math.min(storm.nodes, storm.peerCopies ?? storm.nodes)
  return {
    p50: quantileOf(ascending, 0.5),
    p99: quantileOf(ascending, 0.99),
    last: last - (begins[0] ?? 0),
    registryBytes: copies * storm.imageBytes,
  }
}
