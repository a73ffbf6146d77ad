import { Alert, Button, Code, Group, Text } from '@mantine/core'
import { explain } from '../lib/errors'
import { visible } from '../lib/format'
import { useValue } from '../lib/store'
import { configuration, session, signOut } from '../lib/supabase'
import { ForgetConfiguration } from './Forget'
import { Frame } from './Frame'

/** The server does not know the key. */
export function WrongKey() {
  return (
    <Frame title="The key is not accepted">
      <Alert color="red" role="alert">
        {new URL(configuration().url).host} does not accept this publishable key. It was mistyped, belongs to another project, or was
        replaced.
      </Alert>
      <Text size="sm">
        You find the current one under Settings → API keys of your Supabase project. If this page has a config.json beside it, correct it
        there.
      </Text>
      <Group>
        <ForgetConfiguration label="Enter it again" />
        <Button variant="default" onClick={() => location.reload()}>
          Try again
        </Button>
      </Group>
    </Frame>
  )
}

/** The migrations were never applied. */
export function NoSchema() {
  return (
    <Frame title="The database is not set up">
      <Text size="sm">This Supabase project has no Cronmirror tables yet. On the machine with the agent, run:</Text>
      <Code block>cronmirror migrate</Code>
      <Text size="sm">
        Or paste what <Code>cronmirror migrate --print</Code> prints into the SQL editor.
      </Text>
      <Button onClick={() => location.reload()}>Look again</Button>
    </Frame>
  )
}

/** Signed in, and a member of nothing. */
export function NoMembership() {
  const who = useValue(session)
  const userId = who.kind === 'in' ? who.userId : ''
  const project = configuration().project ?? 'home-lab'
  return (
    <Frame title="You are not a member of a project">
      <Text size="sm">
        You are signed in as <b>{who.kind === 'in' && visible(who.email)}</b>. Ask an admin of the project to add you, or, if it is yours,
        run this in the SQL editor of Supabase:
      </Text>
      <Code block>{`select cron_set_member('${project.replace(/'/g, "''")}', '${userId}', 'admin');`}</Code>
      <Group>
        <Button onClick={() => location.reload()}>Look again</Button>
        <Button variant="default" onClick={() => void signOut()}>
          Sign out
        </Button>
        <ForgetConfiguration />
      </Group>
    </Frame>
  )
}

/** Nothing was read yet, and Supabase does not answer. */
export function Unreachable({ error, again }: { error: unknown; again: () => void }) {
  return (
    <Frame title="Supabase cannot be reached">
      <Alert color="red" role="alert">
        {visible(explain(error))}
      </Alert>
      <Text size="sm">
        This page tries again by itself. Your jobs run on schedule meanwhile: the agent does not need Supabase for that. A paused project
        (free plan) has to be restored in Supabase’s dashboard.
      </Text>
      <Group>
        <Button onClick={again}>Try again now</Button>
        <ForgetConfiguration />
      </Group>
    </Frame>
  )
}
