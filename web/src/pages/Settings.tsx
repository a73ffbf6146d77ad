import { Card, Stack, Text, Title } from '@mantine/core'
import { visible } from '../lib/format'
import { useProjects } from '../lib/live'
import { useValue } from '../lib/store'
import { session } from '../lib/supabase'
import { ConnectionPanel } from '../parts/ConnectionPanel'
import { ForgetConfiguration } from '../screens/Forget'

/** Connection, memberships, and the way back to the set-up screen. */
export default function Settings() {
  const who = useValue(session)
  const projects = useProjects().data ?? []
  return (
    <Stack maw={560}>
      <Title order={1} size="h2">
        Settings
      </Title>
      <Card withBorder>
        <ConnectionPanel />
      </Card>
      <Card withBorder>
        <Title order={2} size="h5" mb="xs">
          Your projects
        </Title>
        {projects.map((each) => (
          <Text key={each.projectId} size="sm">
            <bdi>{visible(each.projectId)}</bdi> — {each.role ?? (each.openAccess ? 'open to everybody' : 'no role')}
          </Text>
        ))}
        {who.kind === 'in' && (
          <Text size="xs" c="dimmed" mt="xs">
            Your user id, for an admin who adds you elsewhere: <span className="mono">{who.userId}</span>
          </Text>
        )}
      </Card>
      <div>
        <ForgetConfiguration label="Connect to another Supabase project" />
      </div>
    </Stack>
  )
}
