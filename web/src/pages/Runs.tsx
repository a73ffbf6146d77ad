import { Button, Group, Table, Text, Title } from '@mantine/core'
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { getRuns, type RunPage } from '../lib/api'
import { navigate, useFilters } from '../lib/hash'
import { filtersOf, narrowed, placeInQuery, placeOf } from '../lib/history'
import { useInterval, useJobs, useProjectId } from '../lib/live'
import { useTitle } from '../lib/title'
import classes from '../parts/History.module.css'
import { HistoryFilterBar } from '../parts/HistoryFilterBar'
import { HistoryRow } from '../parts/HistoryRow'
import { Nothing, QueryState } from '../parts/QueryState'

/** `#/runs`: every run and every slot that was missed, newest first. */
export default function Runs() {
  const projectId = useProjectId()
  useTitle('Runs')
  const [query, change] = useFilters()
  const filters = filtersOf(query)
  const place = placeOf(query)
  const interval = useInterval()
  const runs = useQuery({
    queryKey: ['runs', projectId, 'history', filters, place],
    queryFn: () => getRuns(filters, place),
    placeholderData: keepPreviousData,
    refetchInterval: interval,
  })
  const names = new Map(useJobs().data?.map((each) => [each.jobId, each.name]))
  const page = runs.data
  const filtered = narrowed(filters)
  return (
    <>
      <Title order={1} size="h2" mb="sm">
        Runs
      </Title>
      <HistoryFilterBar filters={filters} onChange={(changes) => change({ ...changes, before: undefined })} />
      <QueryState query={runs} lines={10}>
        {page && page.runs.length === 0 ? (
          <Nothing title={filtered ? 'No run fits these filters' : place ? 'Nothing here any more' : 'Nothing has run yet'}>
            {filtered
              ? 'Widen the time, or take a filter out.'
              : 'Runs, and slots that were missed, show here as soon as an agent reports them.'}
          </Nothing>
        ) : (
          page && (
            <div className={classes.scroll} data-stale={runs.isPlaceholderData || undefined}>
              <Table className={classes.table} highlightOnHover verticalSpacing={6}>
                <Table.Thead>
                  <Table.Tr>
                    {['Status', 'Job', 'When', 'Duration', 'Because of', 'Attempt', 'Exit', 'Agent', 'Why'].map((each) => (
                      <Table.Th key={each}>{each}</Table.Th>
                    ))}
                  </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                  {page.runs.map((run) => (
                    <HistoryRow key={run.id} run={run} name={names.get(run.jobId)} />
                  ))}
                </Table.Tbody>
              </Table>
            </div>
          )
        )}
        {page && <Pager page={page} first={place === undefined} query={query} />}
      </QueryState>
    </>
  )
}

function Pager({ page, first, query }: { page: RunPage; first: boolean; query: URLSearchParams }) {
  // A page is a place to come back to: unlike filters it gets an entry in the browser's history.
  const turn = (before: string | undefined) => {
    const next = new URLSearchParams(query)
    if (before) next.set('before', before)
    else next.delete('before')
    navigate(`?${next}`)
    scrollTo({ top: 0 })
  }
  return (
    <Group justify="space-between" mt="sm">
      <Text size="xs" c="dimmed">
        Kept for 14 days, of each job its newest 200.
      </Text>
      <Group gap="xs">
        {!first && (
          <Button size="xs" variant="subtle" onClick={() => turn(undefined)}>
            Newest
          </Button>
        )}
        <Button size="xs" variant="default" disabled={!page.next} onClick={() => turn(page.next && placeInQuery(page.next))}>
          Older
        </Button>
      </Group>
    </Group>
  )
}
