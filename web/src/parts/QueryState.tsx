import { Alert, Button, Group, Skeleton, Stack, Text } from '@mantine/core'
import type { UseQueryResult } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { ApiError, explain } from '../lib/errors'
import { shorten, visible } from '../lib/format'
import { Time, useNow } from './Time'

/** An answer that takes no longer is no news. */
const CALM_MS = 4000

/** A list while it loads, when it can't be had, and when what is shown is the last that was read. */
export function QueryState({ query, children, lines = 5 }: { query: UseQueryResult<unknown>; children: ReactNode; lines?: number }) {
  if (query.isPending) {
    return (
      <Stack gap="xs" role="status" aria-busy="true" aria-label="Loading">
        {Array.from({ length: lines }, (_, line) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: all alike
          <Skeleton key={line} height={34} />
        ))}
      </Stack>
    )
  }
  return (
    <>
      {query.isError ? <Failure query={query} /> : <Old query={query} />}
      {query.data !== undefined && children}
    </>
  )
}

/** What an earlier visit left here, while Supabase does not answer. */
function Old({ query }: { query: UseQueryResult<unknown> }) {
  useNow()
  if (query.dataUpdatedAt >= performance.timeOrigin || performance.now() < CALM_MS) return null
  return (
    <Alert color="yellow" mb="sm" role="status" title="Last known data">
      <Text size="sm">
        Supabase has not answered yet. Read <Time at={new Date(query.dataUpdatedAt).toISOString()} />.
      </Text>
    </Alert>
  )
}

function Failure({ query }: { query: UseQueryResult<unknown> }) {
  const stale = query.data !== undefined
  const schema = query.error instanceof ApiError && query.error.kind === 'schema'
  return (
    <Alert color={stale ? 'yellow' : 'red'} mb="sm" role="alert" title={stale ? 'Last known data' : 'This could not be read'}>
      <Group justify="space-between" gap="sm">
        <Text size="sm">
          {shorten(visible(explain(query.error)), 400)} {schema && 'The database needs this version’s migrations: cronmirror migrate.'}
          {stale && (
            <>
              Read <Time at={new Date(query.dataUpdatedAt).toISOString()} />.
            </>
          )}
        </Text>
        <Button size="compact-sm" variant="default" onClick={() => void query.refetch()} loading={query.isFetching}>
          Try again
        </Button>
      </Group>
    </Alert>
  )
}

/** A list with nothing in it, and what to do about it. */
export function Nothing({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <Stack align="center" gap={4} py="xl" ta="center">
      <Text fw={600}>{title}</Text>
      {children && (
        <Text size="sm" c="dimmed" component="div" maw={520}>
          {children}
        </Text>
      )}
    </Stack>
  )
}
