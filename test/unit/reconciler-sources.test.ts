/** When it is known what all sources want. */
import t from 'tap'
import { SourceStates } from '../../src/reconciler/source-states.js'
import { MemorySource, type SourceProblem } from '../../src/sources/index.js'

const error = (place: string): SourceProblem => ({ severity: 'error', place, message: 'it is broken' })
const note = (place: string): SourceProblem => ({ severity: 'note', place, message: 'it is none of ours' })

t.test('without sources everything is known', (t) => {
  t.ok(new SourceStates().areSound())
  t.end()
})

t.test('a source is sound once it was listed without an error, and stays so', (t) => {
  const [states, one, other] = [new SourceStates(), new MemorySource(), new MemorySource()]
  states.add(one)
  states.add(other)
  states.setListed(one, [note('a')])
  t.notOk(states.areSound(), 'the other one was not heard')
  states.setError(other, new Error('not now'))
  t.notOk(states.areSound(), 'it fails')
  states.setListed(other, [error('b'), note('b'), error('c')])
  t.same(states.errors(), [])
  states.setProblems(one, 'a', [error('a')])
  t.notOk(states.areSound(), 'two of its files are broken')
  states.setProblems(other, 'b', [])
  t.notOk(states.areSound(), 'one is')
  states.setProblems(other, 'c', [note('c')])
  t.ok(states.areSound(), 'what broke later does not count')
  t.same(states.problems(), [error('a'), note('c')])
  states.setListed(other, [error('c')])
  t.ok(states.areSound())
  t.end()
})

t.test('a broken file that is renamed is not sound in between', (t) => {
  const [states, source] = [new SourceStates(), new MemorySource()]
  states.add(source)
  states.setListed(source, [error('a')])
  // Both come before it is asked.
  states.setProblems(source, 'a', [])
  states.setProblems(source, 'b', [error('b')])
  t.notOk(states.areSound())
  t.end()
})

t.test('who has not answered in time is told of until it does', (t) => {
  const [states, quick, slow, failing] = [
    new SourceStates(),
    new MemorySource(),
    new MemorySource(),
    new MemorySource(),
  ]
  for (const source of [quick, slow, failing]) states.add(source)
  states.setListed(quick, [])
  states.setError(failing, new Error('no'))
  states.setSilent(new Error('late'))
  t.same(
    states.errors().map(({ message }) => message),
    ['late', 'no'],
  )
  states.setListed(slow, [])
  t.same(
    states.errors().map(({ message }) => message),
    ['no'],
  )
  t.end()
})
