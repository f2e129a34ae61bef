/**
 * A program from its start to its end: it imports the library as users do, and loads or reads. What was compiled or
 * touched before does not help it.
 *
 *   node cold.js /proc/1/fd/20 '{"elements":100000,…}' load verdicts
 */
const [path, settings, what, layout] = process.argv.slice(2) as [
  string,
  string,
  'load' | 'read',
  'verdicts' | 'rules',
]
const size = JSON.parse(settings) as import('./ruleset.js').Size
const { Nftables } = await import('viaduct/nftables')
const nftables = await Nftables.open({ netns: { path } })
if (what === 'load') {
  const { addFrame, addObjects, objectsOf } = await import('./ruleset.js')
  const transaction = nftables.transaction()
  addFrame(transaction as never, layout)
  addObjects(transaction as never, layout, objectsOf(layout, size))
  await transaction.commit()
} else {
  const { rules, elements } = await nftables.ruleset()
  const count = layout === 'rules' ? rules.length : elements[0]?.elements.length
  if (count !== (layout === 'rules' ? size.rules : size.elements)) throw new Error(`void: ${count}`)
}
nftables.close()
