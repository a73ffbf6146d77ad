import { describe, expect, it } from 'vitest'
import { configFaults, outageOf, tagsOf } from './agents'

describe('outageOf', () => {
  it('reads what the agent tells', () => {
    const told = { from: 'a', to: 'b', cause: 'asleep', slots_missed: 3, requests_waiting: 1 }

    expect(outageOf({ last_outage: told })).toEqual({
      from: 'a',
      to: 'b',
      cause: 'the machine slept',
      slotsMissed: 3,
      requestsWaiting: 1,
    })
  })

  it.each([null, {}, { last_outage: null }, { last_outage: { from: 3, to: 'b' } }, { last_outage: 'x' }])('takes %j for none', (info) => {
    expect(outageOf(info)).toBeNull()
  })
})

describe('configFaults', () => {
  it('tells the place from the fault', () => {
    expect(configFaults('config.yaml:14: jobs.x.every: "15 minuts" is not a duration (and 2 more)\nno place')).toEqual([
      { place: 'config.yaml:14', text: 'jobs.x.every: "15 minuts" is not a duration (and 2 more)' },
      { place: null, text: 'no place' },
    ])
  })
})

describe('tagsOf', () => {
  it('takes texts alone', () => {
    expect([tagsOf({ tags: ['mac', 3, null] }), tagsOf({ tags: 'mac' }), tagsOf(undefined)]).toEqual([['mac'], [], []])
  })
})
