/** Where the agent says what happens: the command gives it a logger. */
export type AgentLog = Readonly<
  Record<'debug' | 'info' | 'warn' | 'error', (fields: object, message: string) => void>
>
