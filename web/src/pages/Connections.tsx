import { Code, SimpleGrid, Title } from '@mantine/core'
import { useFilters } from '../lib/hash'
import { useConnections, useProject } from '../lib/live'
import { usePresences } from '../parts/agentPresence'
import { ConnectionCard } from '../parts/connections/ConnectionCard'
import { Return } from '../parts/connections/Return'
import { Nothing, QueryState } from '../parts/QueryState'

/** The OAuth logins that jobs use, and signing one in again. */
export default function Connections() {
  const wanted = useFilters()[0].get('id')
  const member = useProject()?.role !== undefined
  const connections = useConnections()
  const agents = usePresences()
  // Who needs somebody comes first.
  const shown = (connections.data ?? []).toSorted((a, b) => Number(b.needsReauth) - Number(a.needsReauth))
  return (
    <>
      <Title order={1} size="h2" mb="md">
        Connections
      </Title>
      <Return />
      {member ? (
        <QueryState query={connections} lines={6}>
          {shown.length === 0 ? (
            <Nothing title="No agent keeps a connection">
              A job that calls an API behind OAuth names one: <Code>connections:</Code> in the YAML. Its agent then keeps the token fresh.
            </Nothing>
          ) : (
            <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="md">
              {shown.map((each) => (
                <ConnectionCard key={each.id} connection={each} agent={agents.get(each.agentId)} wanted={each.connectionId === wanted} />
              ))}
            </SimpleGrid>
          )}
        </QueryState>
      ) : (
        <Nothing title="Connections are shown to members of the project" />
      )}
    </>
  )
}
