/** What the command runs, and asks. */
export { Agent, savedState, tearDown } from './agent.js'
export type { AgentConfiguration } from './configuration.js'
export { formatProblem, readConfigurationFile } from './configuration-file.js'
export { ControlServer, defaultSocket } from './control.js'
export { planOf } from './dry-run.js'
export type { Explanation } from './explain.js'
export type { AgentLog } from './log.js'
export type { Description, EndpointView, NodeView, ServiceView, StatusView } from './views.js'
