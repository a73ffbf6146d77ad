import { Alert, Button, Code, Container, Stack, Text } from '@mantine/core'
import { Component, type ReactNode } from 'react'

/** A fault of this page shows itself instead of a blank window; the next route is tried anew. */
export class ErrorBoundary extends Component<{ children: ReactNode }, { error?: Error }> {
  override state: { error?: Error } = {}

  static getDerivedStateFromError(error: unknown) {
    return { error: error instanceof Error ? error : new Error(String(error)) }
  }

  override componentDidMount() {
    addEventListener('hashchange', this.#again)
  }

  override componentWillUnmount() {
    removeEventListener('hashchange', this.#again)
  }

  #again = () => this.setState({ error: undefined })

  override render() {
    const { error } = this.state
    if (!error) return this.props.children
    return (
      <Container size="sm" py="xl">
        <Alert color="red" title="This page has a fault" role="alert">
          <Stack gap="sm" align="flex-start">
            <Text size="sm">Your jobs are not touched by it. Reload; if it stays, please report it with this text:</Text>
            <Code block>{error.message}</Code>
            <Button size="xs" onClick={() => location.reload()}>
              Reload
            </Button>
          </Stack>
        </Alert>
      </Container>
    )
  }
}
