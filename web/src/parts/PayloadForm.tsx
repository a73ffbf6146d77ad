// The payload of a run, as a form that is made from the job's JSON Schema. Loaded when the first such job is run.

import {
  Alert,
  Button,
  Checkbox,
  Group,
  JsonInput,
  Modal,
  NumberInput,
  Select,
  Stack,
  TagsInput,
  Text,
  Textarea,
  TextInput,
} from '@mantine/core'
import { type FormEvent, useMemo, useState } from 'react'
import type { Queued } from '../lib/api'
import { shorten, visible } from '../lib/format'
import { type Field, fieldsOf, initialValues, judge, payloadOf } from '../lib/payload'
import type { CronMirrorJob, JsonSchema } from '../lib/rows'
import { Data } from './Data'

interface Props {
  job: CronMirrorJob
  schema: JsonSchema
  /** The payload of a former run, to begin with. */
  initial?: unknown
  onRun: (payload: unknown) => Promise<Queued>
  onClose: () => void
}

export default function PayloadForm({ job, schema, initial, onRun, onClose }: Props) {
  const fields = useMemo(() => fieldsOf(schema), [schema])
  const [asJson, setAsJson] = useState(!fields)
  const [values, setValues] = useState(() => initialValues(fields ?? [], initial))
  const [json, setJson] = useState(() => JSON.stringify(initial ?? {}, null, 2))
  const [problems, setProblems] = useState<Record<string, string>>({})
  const [busy, setBusy] = useState(false)

  const given = (): { payload: unknown; problems: Record<string, string> } => {
    if (fields && !asJson) return payloadOf(fields, values)
    try {
      return { payload: JSON.parse(json), problems: {} }
    } catch {
      return { payload: undefined, problems: { '': 'This is not JSON.' } }
    }
  }
  const toggle = () => {
    const { payload } = given()
    if (asJson) setValues(initialValues(fields ?? [], payload ?? {}))
    else setJson(JSON.stringify(payload, null, 2))
    setAsJson(!asJson)
    setProblems({})
  }
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    const { payload, problems: unread } = given()
    const found = Object.keys(unread).length ? unread : judge(schema, payload)
    setProblems(found)
    if (Object.keys(found).length) return
    setBusy(true)
    const queued = await onRun(payload)
    setBusy(false)
    if (queued.ok) onClose()
    else setProblems({ '': queued.error ?? 'The run was not queued.' })
  }
  const named = new Set(asJson ? [] : fields?.map((field) => field.name))
  const rest = Object.entries(problems).filter(([name]) => !named.has(name))

  return (
    <Modal opened onClose={onClose} title={<b>Run {shorten(visible(job.name), 80)}</b>}>
      <form onSubmit={(event) => void submit(event)} noValidate>
        <Stack gap="sm">
          {job.description && (
            <Text size="sm" c="dimmed">
              <Data length={400}>{job.description}</Data>
            </Text>
          )}
          {asJson || !fields ? (
            <JsonInput
              label="Payload"
              value={json}
              onChange={setJson}
              autosize
              minRows={6}
              maxRows={20}
              validationError="This is not JSON."
              data-autofocus
            />
          ) : (
            fields.map((field, place) => (
              <Input
                key={field.name}
                field={field}
                first={place === 0}
                value={values[field.name]}
                problem={problems[field.name]}
                onChange={(value) => setValues({ ...values, [field.name]: value })}
              />
            ))
          )}
          {rest.length > 0 && (
            <Alert color="red" role="alert">
              {rest.map(([name, problem]) => (
                <div key={name}>{shorten(visible(name ? `${name}: ${problem}` : problem), 400)}</div>
              ))}
            </Alert>
          )}
          <Group justify="space-between">
            {fields ? (
              <Button variant="subtle" size="compact-sm" onClick={toggle}>
                {asJson ? 'As a form' : 'As JSON'}
              </Button>
            ) : (
              <span />
            )}
            <Group gap="xs">
              <Button variant="default" onClick={onClose}>
                Cancel
              </Button>
              <Button type="submit" loading={busy}>
                Run
              </Button>
            </Group>
          </Group>
        </Stack>
      </form>
    </Modal>
  )
}

interface InputProps {
  field: Field
  first: boolean
  value: unknown
  problem?: string
  onChange: (value: unknown) => void
}

function Input({ field, first, value, problem, onChange }: InputProps) {
  const common = {
    label: visible(field.label),
    description: field.help && shorten(visible(field.help), 300),
    error: problem && shorten(visible(problem), 200),
    required: field.required,
    'data-autofocus': first || undefined,
  }
  const asText = typeof value === 'string' ? value : String(value ?? '')
  switch (field.kind) {
    case 'boolean':
      return (
        <Checkbox
          {...common}
          required={false}
          checked={value === true}
          indeterminate={value === undefined}
          onChange={(event) => onChange(event.currentTarget.checked)}
        />
      )
    case 'integer':
    case 'number':
      return (
        <NumberInput
          {...common}
          value={typeof value === 'number' ? value : asText}
          onChange={onChange}
          allowDecimal={field.kind === 'number'}
          min={field.minimum}
          max={field.maximum}
          clampBehavior="none"
        />
      )
    case 'choice': {
      // Choices may be of any type; the place in the list stands for them.
      const choices = field.choices ?? []
      const place = choices.findIndex((choice) => JSON.stringify(choice) === JSON.stringify(value))
      return (
        <Select
          {...common}
          data={choices.map((choice, index) => ({
            value: String(index),
            label: shorten(visible(typeof choice === 'string' ? choice : JSON.stringify(choice)), 80),
          }))}
          value={place < 0 ? null : String(place)}
          onChange={(chosen) => onChange(chosen === null ? undefined : choices[Number(chosen)])}
          clearable={!field.required}
        />
      )
    }
    case 'texts':
      return <TagsInput {...common} value={Array.isArray(value) ? value.map(String) : []} onChange={onChange} />
    case 'long':
      return (
        <Textarea {...common} value={asText} onChange={(event) => onChange(event.currentTarget.value)} autosize minRows={3} maxRows={12} />
      )
    case 'json':
      return (
        <JsonInput {...common} value={asText} onChange={onChange} autosize minRows={3} maxRows={12} validationError="This is not JSON." />
      )
    default:
      return <TextInput {...common} value={asText} onChange={(event) => onChange(event.currentTarget.value)} />
  }
}
