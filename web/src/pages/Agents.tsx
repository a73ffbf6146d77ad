import { Card, Code, Group, SimpleGrid, Table, Text, Title } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import { getTableSizes } from '../lib/api'
import { bytes } from '../lib/format'
import { useAgents, useBeats, useJobs, useOpenRequests, useProject, useProjectId } from '../lib/live'
import { type CronRunRequest, mayOperate } from '../lib/rows'
import { AgentCard } from '../parts/AgentCard'
import { usePresences } from '../parts/agentPresence'
import { PauseControl } from '../parts/PauseControl'
import { isPaused } from '../parts/ProjectNotices'
import { Nothing, QueryState } from '../parts/QueryState'
import { useNow } from '../parts/Time'

/** Who needs somebody comes first. */
const ORDER = { offline: 0, draining: 1, online: 2, stopped: 3 }

/** Who runs the jobs of this project, and how they are. */
export default function Agents() {
  const agents = useAgents()
  const beats = useBeats()
  const known = [...usePresences().values()].sort(
    (a, b) => ORDER[a.status] - ORDER[b.status] || a.agent.agentId.localeCompare(b.agent.agentId),
  )
  const waiting = useWaiting()
  const project = useProject()
  return (
    <>
      <Group justify="space-between" mb="md">
        <Title order={1} size="h2">
          Agents
        </Title>
        {mayOperate(project) && !isPaused(project) && <PauseControl paused={false} what="the project" label="the project" />}
      </Group>
      <QueryState query={agents} lines={6}>
        <QueryState query={beats} lines={6}>
          {agents.data?.length === 0 ? (
            <Nothing title="No agent has said hello yet">
              An agent appears here when it has started and signed in: <Code>cronmirror run</Code>
            </Nothing>
          ) : (
            <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="md">
              {known.map((who) => (
                <AgentCard key={who.agent.id} who={who} waiting={waiting.get(who.agent.agentId) ?? []} />
              ))}
            </SimpleGrid>
          )}
        </QueryState>
      </QueryState>
      <Sizes />
    </>
  )
}

/** Requests that wait, by the agents that could take them, oldest first. One whose time has not come waits for that. */
function useWaiting(): ReadonlyMap<string, CronRunRequest[]> {
  const open = useOpenRequests().data
  const jobs = useJobs().data
  const now = Math.floor(useNow() / 5000) * 5000
  return useMemo(() => {
    const agentsOf = new Map(jobs?.map((job) => [job.jobId, job.agentIds]))
    const found = new Map<string, CronRunRequest[]>()
    for (const request of open ?? []) {
      if (request.status !== 'queued' || Date.parse(request.runAt) > now) continue
      for (const agentId of agentsOf.get(request.jobId) ?? []) found.set(agentId, [...(found.get(agentId) ?? []), request])
    }
    return found
  }, [open, jobs, now])
}

const TABLES: Record<string, string> = { cron_mirror: 'Jobs', cron_run_requests: 'Run requests', cron_runs: 'Runs' }
/** Counted no further. */
const CAP = 100_000

const FRESH_MS = 5 * 60_000

/** How much of this project Supabase keeps. An older database can't tell. */
function Sizes() {
  const projectId = useProjectId()
  const sizes = useQuery({ queryKey: ['sizes', projectId], queryFn: getTableSizes, staleTime: FRESH_MS, retry: false }).data
  if (!sizes) return null
  const found = Object.entries(sizes).filter(([table]) => table in TABLES)
  const told = found.some(([, size]) => size.bytes !== undefined)
  return (
    <Card withBorder mt="md" component="section" aria-labelledby="sizes" maw={560}>
      <Title order={2} size="h5" id="sizes" mb={4}>
        What Supabase keeps
      </Title>
      <Table>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Table</Table.Th>
            <Table.Th ta="right">Rows of this project</Table.Th>
            {told && <Table.Th ta="right">On disk, all projects</Table.Th>}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {found.map(([table, size]) => (
            <Table.Tr key={table}>
              <Table.Td>
                {TABLES[table]} <span className="mono dim">{table}</span>
              </Table.Td>
              <Table.Td ta="right">{size.rows >= CAP ? `${CAP.toLocaleString('en')} or more` : size.rows.toLocaleString('en')}</Table.Td>
              {told && <Table.Td ta="right">{size.bytes === undefined ? '—' : bytes(size.bytes)}</Table.Td>}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      <Text size="xs" c="dimmed" mt="xs">
        Runs and finished requests are removed after 14 days, or when a job has 200 newer ones.
      </Text>
    </Card>
  )
}
