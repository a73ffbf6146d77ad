import { Container, Group, Paper, Stack, Text, Title } from '@mantine/core'
import type { ReactNode } from 'react'
import { SchemeSwitch } from '../parts/SchemeSwitch'

/** A screen without a project: one card in the middle. */
export function Frame({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Container size={520} py={{ base: 'md', sm: 72 }} component="main">
      <Group justify="space-between" mb="md">
        <Group gap="xs">
          <img src="./icon.svg" width={28} height={28} alt="" />
          <Text fw={700}>Cronmirror</Text>
        </Group>
        <SchemeSwitch />
      </Group>
      <Paper withBorder p={{ base: 'md', sm: 'xl' }} shadow="sm">
        <Stack>
          <Title order={1} size="h3">
            {title}
          </Title>
          {children}
        </Stack>
      </Paper>
    </Container>
  )
}
