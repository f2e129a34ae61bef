/** Kernels that refuse an option of the socket, by a library that is preloaded. */
import { execFile } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

const inProject = (file: string) => fileURLToPath(new URL(`../../../${file}`, import.meta.url))
const execute = promisify(execFile)

t.test('what an old kernel does not know it does without, and any other refusal is told', async (t) => {
  const library = path.join(t.testdir(), 'refuse.so')
  await execute('cc', [
    '-Wall',
    '-Werror',
    '-shared',
    '-fPIC',
    '-o',
    library,
    inProject('test/native/refuse.c'),
  ])
  const program = `
    const { loadNative } = await import(${JSON.stringify(inProject('dist/src/native.js'))})
    const options = { protocol: 0, netnsFd: -1, receiveBufferBytes: 0, sendBufferBytes: 0 }
    try {
      new (loadNative().NetlinkSocket)({ ...options, strictChecking: process.env.STRICT === 'yes' }).close()
      console.log('opened')
    } catch ({ code, syscall }) {
      console.log(code, syscall)
    }`
  const open = async (option: number, errno: number, STRICT = 'yes') => {
    const refusal = { LD_PRELOAD: library, REFUSE_OPTION: `${option}`, REFUSE_ERRNO: `${errno}` }
    const env = { ...process.env, ...refusal, STRICT }
    const { stdout } = await execute(process.execPath, ['--input-type=module', '-e', program], { env })
    return stdout
  }
  const [ENOMEM, ENOPROTOOPT] = [12, 92]
  const options = [
    [10, 'NETLINK_CAP_ACK'],
    [11, 'NETLINK_EXT_ACK'],
    [12, 'NETLINK_GET_STRICT_CHK'],
  ] as const
  for (const [option, name] of options) {
    t.equal(await open(option, ENOPROTOOPT), 'opened\n', name)
    t.equal(await open(option, ENOMEM), `ENOMEM setsockopt ${name}\n`)
  }
  t.equal(await open(12, ENOMEM, 'no'), 'opened\n', 'it was not asked for')
})
