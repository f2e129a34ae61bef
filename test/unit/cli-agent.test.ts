/** Commands of `viaduct run` without anybody who runs: arguments, help, completion. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { agentCommands, run } from '../../src/cli/agent/index.js'
import { endpointsText } from '../../src/cli/agent/text.js'
import { runViaduct } from '../../src/cli/viaduct.js'
import { streamsTo } from './support/outcome.js'

async function said(words: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const told = { stdout: '', stderr: '' }
  const code = await run(
    words,
    streamsTo((where, text) => (told[where] += text)),
  )
  return { code, ...told }
}

t.test('arguments that cannot be meant', async (t) => {
  for (const [words, code, message] of [
    [['run'], 2, /which manifests\? Give a folder with -f/],
    [['run', 'x'], 2, /manifests are given by -f/],
    [['run', '-f', 'x', '--dataplane', 'iptables'], 2, /expected auto, nftables or ipvs, got iptables/],
    [['run', '--what'], 255, /--help lists them/],
    [['run', '-f', 'x', '--config', '/nowhere/c'], 2, /--config: ENOENT/],
    [['status', 'x'], 2, /one word too many/],
    [['get'], 2, /services, endpoints or nodes/],
    [['describe', 'pod', 'x'], 2, /service NAME/],
    [['drain'], 2, /ADDRESS or ADDRESS:PORT/],
    [['explain', '10.0.0.1'], 2, /ADDRESS:PORT/],
    [['status', '--socket', '/nowhere/s'], 3, /nobody answers at \/nowhere\/s/],
    [['run', '-f', 'x', '--socket', '/dev/null/x/s'], 1, /^viaduct: ENOTDIR/],
    [['run', '-f', 'x', '--socket', `/tmp/${'s'.repeat(120)}`], 2, /at most 107 bytes/],
    [['completion', 'csh'], 2, /bash, zsh, fish/],
  ] as const) {
    const { code: is, stderr } = await said(words)
    t.equal(is, code, words.join(' '))
    t.match(stderr, message)
  }
})

t.test('tables of any length', (t) => {
  const one = { service: 'default/web', address: '10.0.0.1', port: 80, weight: 1, state: 'in' } as const
  const rows = Array.from({ length: 200_000 }, () => one)
  t.equal(endpointsText(rows).split('\n').length, rows.length + 2)
  t.end()
})

t.test('help names every command and every option', async (t) => {
  const { code, stdout } = await said(['--help'])
  t.equal(code, 0)
  for (const [name, { options }] of Object.entries(agentCommands)) {
    t.match(stdout, new RegExp(`\\b${name}\\b`))
    for (const { name: option } of options) t.match(stdout, `--${option}`)
  }
  let usage = ''
  await runViaduct(
    ['node', 'viaduct', '--help'],
    streamsTo((_, text) => (usage += text)),
  )
  for (const name of Object.keys(agentCommands)) t.match(usage, new RegExp(`\\b${name}\\b`))
})

t.test('completion is what a shell can run', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'viaduct-completion-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const file = path.join(folder, 'bash')
  await writeFile(file, (await said(['completion', 'bash'])).stdout)
  const offered = async (...words: readonly string[]): Promise<string[]> => {
    const script = `source ${file}; COMP_WORDS=(viaduct ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}; _viaduct; printf '%s\\n' "\${COMPREPLY[@]}"`
    return (await promisify(execFile)('bash', ['-c', script])).stdout.trim().split('\n')
  }
  t.strictSame(await offered('stat'), ['status'])
  t.strictSame(await offered('get', 's'), ['services'])
  t.strictSame(await offered('run', '--dr'), ['--dry-run'])
  t.ok((await offered('')).includes('ipvsadm'))
  t.strictSame(await offered('run', '--config', `${folder}/b`), [file])
  t.match((await said(['completion', 'zsh'])).stdout, /^#compdef viaduct\n/)
  const fish = (await said(['completion', 'fish'])).stdout
  t.match(fish, /__fish_seen_subcommand_from drain' -l undo -d 'the server gets connections again'/)
})
