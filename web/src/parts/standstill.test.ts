import { describe, expect, it } from 'vitest'
import type { Presence } from '../lib/presence'
import { standstillOf } from './standstill'

function agent(more: Partial<Presence> = {}): Presence {
  return { agent: {} as Presence['agent'], status: 'online', ...more }
}

describe('standstillOf', () => {
  it('is none while one of the agents goes on', () => {
    expect(standstillOf([agent(), agent({ status: 'offline' })])).toBeUndefined()
    expect(standstillOf([agent(), agent({ paused: { mode: 'all', by: 'operator' } })])).toBeUndefined()
  })

  it('expects nothing where nobody serves, all are paused, or all said goodbye', () => {
    expect(standstillOf([])).toEqual({ held: true, why: 'no agent serves it' })
    expect(standstillOf([agent({ paused: { mode: 'schedule', by: 'box' } })])).toEqual({ held: true, why: 'paused' })
    expect(standstillOf([agent({ status: 'stopped' })])).toEqual({ held: true, why: 'agent stopped' })
  })

  it('still expects runs of an agent that is merely offline: it needs no Supabase to run', () => {
    expect(standstillOf([agent({ status: 'offline' }), agent({ status: 'stopped' })])).toEqual({ held: false, why: 'agent offline' })
  })

  it('claims nothing of agents that it does not know', () => {
    expect(standstillOf([undefined])).toBeUndefined()
  })
})
