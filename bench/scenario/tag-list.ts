// What update bots ask: which tags are there?

import type { Scenario } from '../contract.ts'
import { requestScenario } from '../scenario-kind.ts'

export const tagList: Scenario = requestScenario({
  name: 'tag-list',
  asks: 'Tag list (1 tag)',
  method: 'GET',
  target: 'tags',
  edge: 'plain',
  references: ['bare-uws', 'docker-registry', 'zot', 'distribution', 'angos'],
  expected: [],
})
