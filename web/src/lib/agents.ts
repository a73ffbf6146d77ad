// What an agent tells of itself, read with care: any agent of any version may have written it. Pure.

export interface Outage {
  from: string
  to: string
  cause: string
  slotsMissed: number
  requestsWaiting: number
}

const CAUSES: Record<string, string> = {
  offline: 'Supabase could not be reached',
  asleep: 'the machine slept',
  agent_down: 'the agent did not run',
}

/** `info.last_outage` as the agent sends it; whatever else is there is nobody's outage. */
export function outageOf(info: unknown): Outage | null {
  const told = (info as { last_outage?: Record<string, unknown> } | null)?.last_outage
  if (!told || typeof told.from !== 'string' || typeof told.to !== 'string') return null
  return {
    from: told.from,
    to: told.to,
    cause: CAUSES[String(told.cause)] ?? String(told.cause),
    slotsMissed: Number(told.slots_missed) || 0,
    requestsWaiting: Number(told.requests_waiting) || 0,
  }
}

/** `config.yaml:14: jobs.x.every: …` → the place and what is wrong there; one entry per line. */
export function configFaults(error: string): { place: string | null; text: string }[] {
  return error
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const found = /^(.{1,300}?:\d+):\s*(.*)$/.exec(line)
      return found ? { place: found[1] ?? null, text: found[2] ?? '' } : { place: null, text: line }
    })
}

/** Whatever an agent calls its tags. */
export function tagsOf(info: Record<string, unknown> | undefined): string[] {
  const tags = info?.tags
  return Array.isArray(tags) ? tags.filter((tag): tag is string => typeof tag === 'string') : []
}
