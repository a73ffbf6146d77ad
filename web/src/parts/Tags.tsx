import { Badge, Group } from '@mantine/core'
import { Data } from './Data'

/** Tags of a job or an agent. */
export function Tags({ tags }: { tags: string[] }) {
  return (
    <Group gap={4}>
      {tags.map((tag) => (
        <Badge key={tag} variant="default" tt="none" radius="sm" fw={500}>
          <Data length={40}>{tag}</Data>
        </Badge>
      ))}
    </Group>
  )
}
