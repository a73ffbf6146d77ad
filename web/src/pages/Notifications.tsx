import { Alert, Button, Card, Group, SegmentedControl, Text, Title } from '@mantine/core'
import { useState } from 'react'
import { useFilters } from '../lib/hash'
import { useNotifications, useProject, useSnoozes, useUnread } from '../lib/live'
import { mayOperate } from '../lib/rows'
import { NoticeList, ReadAll, SubjectLink } from '../parts/notices/NoticeList'
import { SnoozeControl } from '../parts/notices/SnoozeControl'
import { Nothing, QueryState } from '../parts/QueryState'
import { Time } from '../parts/Time'

const PAGE = 50

/** What people were told, or would have been: one notice for each change of state. */
export default function Notifications() {
  const [given, setFilters] = useFilters()
  const unreadOnly = given.get('unread') === 'yes'
  const [limit, setLimit] = useState(PAGE)
  const found = useNotifications(limit, unreadOnly)
  const unread = useUnread().data ?? 0
  const notices = found.data ?? []
  return (
    <>
      <Group justify="space-between" mb="sm">
        <Title order={1} size="h2">
          Notifications
        </Title>
        <Group gap="xs">
          {unread > 0 && <ReadAll />}
          <SegmentedControl
            size="xs"
            aria-label="Which"
            data={[
              { value: '', label: 'All' },
              { value: 'yes', label: 'Unread' },
            ]}
            value={unreadOnly ? 'yes' : ''}
            onChange={(chosen) => setFilters({ unread: chosen })}
          />
        </Group>
      </Group>
      <Snoozed />
      <QueryState query={found} lines={6}>
        {notices.length === 0 ? (
          <Nothing title={unreadOnly ? 'Nothing is unread' : 'Nothing has happened yet that anybody had to be told of'}>
            {!unreadOnly && 'Jobs that begin to fail or recover, agents that go silent, connections that need somebody: it is said here.'}
          </Nothing>
        ) : (
          <Card withBorder py={4} maw={900}>
            <NoticeList notices={notices} />
          </Card>
        )}
        {notices.length >= limit && (
          <Button mt="sm" variant="default" loading={found.isFetching} onClick={() => setLimit(limit + PAGE)}>
            Show older ones
          </Button>
        )}
        {notices.length > 0 && (
          <Text size="xs" c="dimmed" mt="sm">
            Read and unread is one for everybody in the project.
          </Text>
        )}
      </QueryState>
    </>
  )
}

/** What nobody is told of now. */
function Snoozed() {
  const snoozes = useSnoozes().data ?? []
  const operator = mayOperate(useProject())
  if (snoozes.length === 0) return null
  return (
    <Alert color="gray" mb="sm" title="Snoozed: it goes on, and nobody is told" role="status" maw={900}>
      {snoozes.map(({ subject, until }) => (
        <Group key={subject} gap="sm" mt={4}>
          <SubjectLink subject={subject} />
          <Text size="sm">
            ends <Time at={until} />
          </Text>
          {operator && <SnoozeControl subject={subject} />}
        </Group>
      ))}
    </Alert>
  )
}
