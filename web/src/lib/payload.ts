// A JSON Schema as a form: which fields it has, and what was filled in as a payload. Pure; the agent validates anyway.

import { Validator } from '@cfworker/json-schema'
import type { JsonSchema } from './rows'

export interface Field {
  name: string
  label: string
  help?: string
  required: boolean
  /** `json`: anything that no plain input can hold. */
  kind: 'text' | 'long' | 'integer' | 'number' | 'boolean' | 'choice' | 'texts' | 'json'
  choices?: unknown[]
  minimum?: number
  maximum?: number
  initial?: unknown
}

/** What the inputs hold: text, number, boolean, list of texts, or the text of a JSON field. */
export type Values = Record<string, unknown>

const object = (value: unknown): Record<string, unknown> | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
const text = (value: unknown) => (typeof value === 'string' && value ? value : undefined)
const number = (value: unknown) => (typeof value === 'number' ? value : undefined)

/**
 * The fields of an object schema; undefined where the payload has to be written as JSON. First what is required, as it is
 * listed there: Postgres keeps the order of a list, not that of an object's keys.
 */
export function fieldsOf(schema: JsonSchema): Field[] | undefined {
  const properties = object(schema.properties)
  if (!properties || (schema.type !== undefined && schema.type !== 'object')) return undefined
  const required = Array.isArray(schema.required) ? schema.required : []
  const rank = (name: string) => (required.includes(name) ? required.indexOf(name) : required.length)
  const ordered = Object.entries(properties).sort(([a], [b]) => rank(a) - rank(b))
  return ordered.map(([name, given]) => {
    const property = object(given) ?? {}
    const choices = Array.isArray(property.enum) ? property.enum : undefined
    return {
      name,
      label: text(property.title) ?? name,
      help: text(property.description),
      required: required.includes(name),
      kind: choices ? 'choice' : kindOf(property),
      choices,
      minimum: number(property.minimum),
      maximum: number(property.maximum),
      initial: property.const ?? property.default,
    }
  })
}

function kindOf(property: Record<string, unknown>): Field['kind'] {
  switch (property.type) {
    case 'string':
      return (number(property.maxLength) ?? 0) > 200 ? 'long' : 'text'
    case 'integer':
    case 'number':
    case 'boolean':
      return property.type
    case 'array':
      return object(property.items)?.type === 'string' ? 'texts' : 'json'
    default:
      return 'json'
  }
}

/** What the inputs begin with: the payload of a former run, else the schema's defaults. */
export function initialValues(fields: Field[], payload: unknown): Values {
  const given = object(payload) ?? {}
  return Object.fromEntries(
    fields.map((field) => {
      const value = field.name in given ? given[field.name] : field.initial
      if (field.kind === 'json') return [field.name, value === undefined ? '' : JSON.stringify(value, null, 2)]
      if (field.kind === 'boolean') return [field.name, value ?? (field.required ? false : undefined)]
      if (field.kind === 'texts') return [field.name, Array.isArray(value) ? value.map(String) : []]
      return [field.name, value ?? '']
    }),
  )
}

/** The payload that was filled in; what is empty and not required is left out. `problems`: JSON that is none, by field. */
export function payloadOf(fields: Field[], values: Values): { payload: Record<string, unknown>; problems: Record<string, string> } {
  const payload: Record<string, unknown> = {}
  const problems: Record<string, string> = {}
  for (const field of fields) {
    const value = values[field.name]
    const empty = value === '' || value === undefined || value === null || (Array.isArray(value) && !value.length)
    if (empty) {
      if (field.required && field.kind === 'texts') payload[field.name] = []
      continue
    }
    if (field.kind !== 'json') {
      payload[field.name] = value
      continue
    }
    try {
      payload[field.name] = JSON.parse(String(value))
    } catch {
      problems[field.name] = 'This is not JSON.'
    }
  }
  return { payload, problems }
}

/** What the schema says against this payload, by field; `''` is the payload itself. Empty when it fits. */
export function judge(schema: JsonSchema, payload: unknown): Record<string, string> {
  const problems: Record<string, string> = {}
  try {
    // This validator needs no eval, which our content policy forbids.
    const { errors } = new Validator(schema, '2020-12', false).validate(payload)
    for (const { instanceLocation, keyword, error } of errors) {
      if (keyword === 'properties' || keyword === '$ref') continue
      const missing = keyword === 'required' ? /"([^"]+)"\.?$/.exec(error)?.[1] : undefined
      const at =
        missing ??
        decodeURIComponent(instanceLocation.split('/')[1] ?? '')
          .replace(/~1/g, '/')
          .replace(/~0/g, '~')
      problems[at] ??= missing ? 'This is needed.' : error
    }
  } catch {
    // A schema that this validator can't read: the agent's judges.
  }
  // The whole does not fit because a part does not: said once, at the part.
  if (Object.keys(problems).length > 1) delete problems['']
  return problems
}
