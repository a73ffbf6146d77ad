import { useConnections } from '../../lib/live'
import type { CronConnection } from '../../lib/rows'
import { Toned } from '../StatusBadge'

/** Whether a person has to sign in: "Active", "Needs re-authentication". `of`: says whose standing it is, on hover. */
export function Standing({ connection, of = false }: { connection: CronConnection; of?: boolean }) {
  const [color, words] = connection.needsReauth
    ? ['red', 'Needs re-authentication']
    : connection.isActive
      ? ['green', 'Active']
      : ['gray', 'No token yet']
  const state = connection.needsReauth ? 'reauth' : connection.isActive ? 'active' : 'none'
  return (
    <Toned color={color as string} data-standing={state} title={of ? `Connection ${connection.connectionId}` : undefined}>
      {words}
    </Toned>
  )
}

/** The same for a job that names its connection; nothing where that is not known here. */
export function StandingBadge({ id }: { id: string }) {
  const connection = useConnections().data?.find((each) => each.connectionId === id)
  return connection ? <Standing connection={connection} of /> : null
}
