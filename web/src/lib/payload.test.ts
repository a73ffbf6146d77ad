import { expect, it } from 'vitest'
import { fieldsOf, initialValues, judge, payloadOf } from './payload'

const SCHEMA = {
  type: 'object',
  properties: {
    width: { type: 'integer', minimum: 1, title: 'Width', description: 'In pixels' },
    format: { enum: ['png', 'jpeg', null], default: 'png' },
    keep: { type: 'boolean' },
    names: { type: 'array', items: { type: 'string' } },
    extra: { type: 'object' },
    note: { type: 'string', maxLength: 1000 },
  },
  required: ['width'],
  additionalProperties: false,
}
const fields = fieldsOf(SCHEMA) ?? []

it('makes a field of each property', () => {
  expect(fields.map((field) => field.kind)).toEqual(['integer', 'choice', 'boolean', 'texts', 'json', 'long'])
  expect(fields[0]).toMatchObject({ label: 'Width', help: 'In pixels', required: true, minimum: 1 })
})

it('asks for what is required first, in the order of that list', () => {
  const ordered = fieldsOf({ properties: { a: {}, b: {}, c: {}, d: {} }, required: ['d', 'b', 'gone'] })
  expect(ordered?.map((field) => field.name)).toEqual(['d', 'b', 'a', 'c'])
})

it.each([{ type: 'array' }, {}, { type: 'string', properties: {} }, { properties: [] }])('leaves %o to be written as JSON', (schema) => {
  expect(fieldsOf(schema)).toBeUndefined()
})

it('begins with the defaults, or with a former payload', () => {
  expect(initialValues(fields, undefined)).toEqual({ width: '', format: 'png', keep: undefined, names: [], extra: '', note: '' })
  expect(initialValues(fields, { width: 3, names: ['a'], extra: { b: 1 }, gone: 1 })).toMatchObject({
    width: 3,
    names: ['a'],
    extra: '{\n  "b": 1\n}',
  })
})

it('leaves out what is empty, and says where JSON is none', () => {
  const values = { ...initialValues(fields, undefined), width: 8 }
  expect(payloadOf(fields, values)).toEqual({ payload: { width: 8, format: 'png' }, problems: {} })
  expect(payloadOf(fields, { ...values, keep: false, extra: '{"a": 1}' }).payload).toEqual({
    width: 8,
    format: 'png',
    keep: false,
    extra: { a: 1 },
  })
  expect(payloadOf(fields, { ...values, extra: '{' }).problems).toEqual({ extra: 'This is not JSON.' })
})

it('judges by field', () => {
  expect(judge(SCHEMA, { width: 1 })).toEqual({})
  expect(judge(SCHEMA, {})).toEqual({ width: 'This is needed.' })
  expect(Object.keys(judge(SCHEMA, { width: 0, format: 'gif' }))).toEqual(['width', 'format'])
  expect(Object.keys(judge(SCHEMA, { width: 1, other: 1 }))).not.toEqual([])
})

it('lets pass what it cannot judge', () => {
  expect(judge({ $ref: 'https://example.com/schema.json' }, {})).toEqual({})
})
