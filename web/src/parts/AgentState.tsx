import type { Presence } from '../lib/presence'
import { Toned } from './StatusBadge'
import { Time } from './Time'

const LOOKS: Record<Presence['status'], { color: string; word: string }> = {
  online: { color: 'green', word: 'online' },
  offline: { color: 'red', word: 'offline' },
  draining: { color: 'yellow', word: 'draining: it ends what runs and stops' },
  stopped: { color: 'gray', word: 'stopped' },
}

/** "online", "offline · 3 min ago", "paused": as badges. */
export function AgentState({ who }: { who: Presence }) {
  const { color, word } = LOOKS[who.status]
  const away = who.status === 'offline' || who.status === 'stopped'
  return (
    <>
      <Toned color={color} data-presence={who.status}>
        {word}
        {away && who.lastSeenAt && (
          <>
            {' · '}
            <Time at={who.lastSeenAt} />
          </>
        )}
      </Toned>
      {who.paused && (
        <Toned color="orange" data-paused={who.paused.mode}>
          {who.paused.mode === 'all' ? 'paused' : 'schedule paused'}
        </Toned>
      )}
    </>
  )
}
