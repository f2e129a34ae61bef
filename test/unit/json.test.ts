import t from 'tap'
import { KernelError, toJson } from '../../src/index.js'

void t.test('JSON of counters, bytes and errors', async (t) => {
  t.equal(toJson({ packets: 2n ** 64n - 1n, none: undefined }), '{"packets":"18446744073709551615"}')
  t.equal(toJson([1n, Uint8Array.of(0, 255), Buffer.from('a')]), '["1","00ff","61"]')
  t.same(JSON.parse(toJson({ error: new KernelError({ errno: -2, operation: 'ipvs.service' }) })), {
    error: {
      name: 'KernelError',
      message: 'ENOENT: ipvs.service: no such file or directory',
      code: 'ENOENT',
      errno: -2,
      operation: 'ipvs.service',
    },
  })
  t.equal(toJson(undefined), 'null')
  t.equal(toJson(new Date(0)), '"1970-01-01T00:00:00.000Z"')
  t.equal(toJson({ a: 1n }, 2), '{\n  "a": "1"\n}')
})
