import { Alert, Button, Group, PasswordInput, Stack, Text, TextInput } from '@mantine/core'
import { type FormEvent, useState } from 'react'
import { visible } from '../lib/format'
import { configuration, signIn } from '../lib/supabase'
import { ForgetConfiguration } from './Forget'
import { Frame } from './Frame'

/** `ended`: the session ended by itself. `onBack`: there is something to see without signing in. */
export function SignIn({ ended, onBack }: { ended?: boolean; onBack?: () => void }) {
  const [email, setEmail] = useState('')
  const [password, setPassword] = useState('')
  const [problem, setProblem] = useState<string>()
  const [busy, setBusy] = useState(false)
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setBusy(true)
    setProblem(await signIn(email.trim(), password))
    setBusy(false)
  }
  return (
    <Frame title="Sign in">
      {ended && (
        <Alert color="yellow" title="Your session has ended" role="status">
          Sign in again to go on where you were.
        </Alert>
      )}
      <form onSubmit={(event) => void submit(event)}>
        <Stack>
          <TextInput
            label="E-mail"
            type="email"
            required
            autoComplete="username"
            value={email}
            onChange={(event) => setEmail(event.currentTarget.value)}
            data-autofocus
          />
          <PasswordInput
            label="Password"
            required
            autoComplete="current-password"
            value={password}
            onChange={(event) => setPassword(event.currentTarget.value)}
          />
          {problem && (
            <Alert color="red" role="alert">
              {visible(problem)}
            </Alert>
          )}
          <Button type="submit" loading={busy}>
            Sign in
          </Button>
          {onBack && (
            <Button variant="subtle" onClick={onBack}>
              Go on without signing in
            </Button>
          )}
        </Stack>
      </form>
      <Group justify="space-between">
        <Text size="xs" c="dimmed">
          {new URL(configuration().url).host}
        </Text>
        <ForgetConfiguration />
      </Group>
    </Frame>
  )
}
