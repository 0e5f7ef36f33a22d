// Which scenarios a run measures, on which stores, and what that covers.

import { GROUPS, HEADLINES, SCENARIOS } from './catalogue.ts'
import type { Scenario, StoreKind } from './contract.ts'
import type { BenchOptions } from './options.ts'
import type { Coverage } from './report/record.ts'

type Choice = Pick<
  BenchOptions,
  'only' | 'groups' | 'all' | 'tls' | 'stores' | 'subjects' | 'quick'
>

function chosen({ only, groups, all, tls }: Choice): readonly Scenario[] {
  const isWanted = ({ edge }: Scenario): boolean => !tls || edge !== 'plain'
  if (only.length > 0) return SCENARIOS.filter(({ name }) => only.includes(name)).filter(isWanted)
  if (groups.length > 0) return groups.flatMap((group) => [...GROUPS[group]]).filter(isWanted)
  return (all || tls ? SCENARIOS : HEADLINES).filter(isWanted)
}

/** Of the headlines those on tmpfs are left out of which nothing is wanted there. */
function storesOf({ stores, expected }: Scenario, { only, groups, all, tls }: Choice): StoreKind[] {
  const isHeadlineRun = only.length + groups.length === 0 && !all && !tls
  const isWantedOn = (store: StoreKind): boolean =>
    store === 'disk' || expected.some((it) => 'store' in it && it.store === store)
  return stores.filter((store) => !isHeadlineRun || isWantedOn(store))
}

export function planOf(options: Choice): { scenario: Scenario; store: StoreKind }[] {
  const { stores } = options
  return chosen(options).flatMap((scenario) => {
    const able = stores.length === 0 ? storesOf(scenario, options) : scenario.stores
    return able
      .filter((store) => stores.length === 0 || stores.includes(store))
      .map((store) => ({ scenario, store }))
  })
}

export function coverageOf(options: Choice): Coverage {
  const { only, groups, subjects, stores, quick, tls } = options
  if (quick || only.length + groups.length + subjects.length + stores.length > 0) return 'partial'
  return tls ? 'tls' : 'whole'
}
