import path from 'node:path'
import t from 'tap'

const script = new URL('../../../scripts/check/pages.mjs', import.meta.url)
type Problems = (files: readonly string[], folder: string) => Promise<string[]>
const { brokenLinks, brokenSamples } = (await import(script.href)) as {
  readonly brokenLinks: Problems
  readonly brokenSamples: Problems
}

t.test('a link leads to a file, and its anchor to a heading', async (t) => {
  const folder = t.testdir({
    'a.md': [
      '# The `first` heading, with [a link](docs/b.md)!',
      '## Again',
      '## Again',
      '```sh',
      '# not a heading',
      '[not a link](gone.md)',
      '```',
      '`[nor this](gone.md)` [well](docs/b.md) [well](#the-first-heading-with-a-link) [well](#again-1)',
      '[well](docs/b.md#größe_1) [well](https://example.org/gone.md) [well](docs/c.txt#any) [well](docs)',
      '[one](gone.md) [two](docs/gone.md#again) [three](#not-a-heading) [four](docs/b.md#again)',
      '[five]: ./gone.txt',
    ].join('\n'),
    docs: {
      'b.md': '# Größe_1\n\n[back](../a.md#again) [six](../a.md#again-2)\n',
      'c.txt': '',
    },
  })
  t.same(await brokenLinks(['a.md', 'docs/b.md'], folder), [
    'a.md links to gone.md, which is not there',
    'a.md links to docs/gone.md#again, which is not there',
    'a.md links to #not-a-heading: a.md has no such heading',
    'a.md links to docs/b.md#again: docs/b.md has no such heading',
    'a.md links to ./gone.txt, which is not there',
    'docs/b.md links to ../a.md#again-2: a.md has no such heading',
  ])
})

t.test('samples are compiled against what the package exports, and told by page and line', async (t) => {
  const page = [
    'Text.',
    '```ts',
    "import { Ipvs } from 'viaduct'",
    '',
    'await using ipvs = await Ipvs.open({ netns })',
    '```',
    'It goes on, with what is not shown.',
    '',
    '<!-- ts',
    'declare const netns: { pid: number }',
    'declare const wrong: Nowhere',
    '-->',
    '',
    '```ts',
    "await ipvs.setTimeouts({ tcpSeconds: 'many' })",
    '```',
    '```sh',
    'not typescript',
    '```',
    '```ts',
    "import { nothing } from 'viaduct/testing'",
    'const ipvs = 1',
    '```',
  ].join('\n')
  const folder = t.testdir({ docs: { 'page.md': page }, 'good.md': "```ts\nimport 'viaduct/net'\n```\n" })
  const [told, ...more] = await brokenSamples(['good.md', path.join('docs', 'page.md')], folder)
  t.same(more, [])
  const places = told?.match(/^\S+: error TS\d+/gm)
  t.same(places, [
    'docs/page.md:11: error TS2304',
    'docs/page.md:15: error TS2322',
    'docs/page.md:21: error TS2305',
  ])
  t.same(await brokenSamples(['good.md'], folder), [])
})
