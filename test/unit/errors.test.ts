import { constants } from 'node:os'
import t from 'tap'
import { errnoNumber } from '../../src/errors/errno.js'
import {
  BatchError,
  errnoCode,
  errnoText,
  isBatchError,
  isKernelError,
  isUnsupportedError,
  isValidationError,
  KernelError,
  UnsupportedError,
  ValidationError,
} from '../../src/errors/index.js'

void t.test('a kernel error names operation, object, attribute and what to do', async (t) => {
  const error = new KernelError({
    errno: -2,
    operation: 'ipvs.createDestination',
    object: { service: { protocol: 'tcp', address: '192.0.2.1', port: 80 }, weight: 3n },
    attribute: { path: 'destination.weight', offset: 44 },
    hint: 'Do this',
  })
  t.equal(error.code, 'ENOENT')
  t.equal(error.errno, -2)
  t.equal(
    error.message,
    'ENOENT: ipvs.createDestination (service={"protocol":"tcp","address":"192.0.2.1","port":80} weight=3n): destination.weight: no such file or directory. Do this',
  )
  t.ok(error.stack?.includes('errors.test'), 'the stack holds the line of the caller')
})

void t.test('guards recognise errors of another copy of the package', async (t) => {
  const foreign = { [Symbol.for('viaduct.error')]: 'kernel', code: 'EEXIST' }
  t.ok(isKernelError(foreign))
  t.ok(isKernelError(foreign, 'EEXIST'))
  t.notOk(isKernelError(foreign, 'ENOENT'))
  t.notOk(isKernelError(new Error('x')))
  t.notOk(isKernelError(null))
  t.ok(isUnsupportedError(new UnsupportedError('IPVS', 'ip_vs')))
  t.ok(isValidationError(new ValidationError('a.b', 7, 'a word')))
  t.notOk(isValidationError(new UnsupportedError('IPVS', 'ip_vs')))
})

void t.test('a batch error tells every failure', async (t) => {
  const inner = new KernelError({ errno: -17, operation: 'ipvs.createService' })
  const error = new BatchError('ipvs.apply', 8, [
    { index: 2, operation: 'ipvs.createService', object: undefined, error: inner },
    { index: 5, operation: 'ipvs.createService', object: undefined, error: inner },
  ])
  t.ok(error instanceof AggregateError)
  t.ok(isBatchError(error))
  t.equal(error.applied, 8)
  t.equal(error.failures.length, 2)
  t.match(error.message, /2 of 10 operations failed; first, number 2: EEXIST.*and 1 more/)
})

void t.test('error numbers have the kernel’s names', async (t) => {
  const names: [number, string][] = [
    [1, 'EPERM'],
    [-3, 'ESRCH'],
    [17, 'EEXIST'],
    [34, 'ERANGE'],
    [90, 'EMSGSIZE'],
    [95, 'EOPNOTSUPP'],
    [97, 'EAFNOSUPPORT'],
    [105, 'ENOBUFS'],
    [85, 'ERESTART'],
  ]
  for (const [errno, name] of names) t.equal(errnoCode(errno), name)
  t.equal(errnoCode(1234), 'E1234')
  t.equal(errnoText(1234), 'unknown error')
})

void t.test('what a user gave cannot break a message', async (t) => {
  const circular: Record<string, unknown> = {}
  circular.self = circular
  t.match(new ValidationError('x', circular, 'a word').message, /x: expected a word, got \[object Object\]/)
  t.match(new ValidationError('x', 'a\nb', 'a word').message, /got "a\\nb"$/)
  t.ok(new ValidationError('x', 'y'.repeat(10_000), 'a word').message.length < 200)
})

void t.test('error numbers are those of Linux, wherever this runs', (t) => {
  t.equal(errnoNumber('EADDRINUSE'), -98)
  t.equal(errnoNumber('ENOTSUPP'), -524)
  t.equal(errnoNumber('ENONSENSE'), undefined)
  t.equal(errnoCode(-35), 'EDEADLK')
  if (process.platform === 'linux') {
    for (const [code, number] of Object.entries(constants.errno)) t.equal(errnoNumber(code), -number, code)
  }
  t.end()
})
