export {
  type LocalServer,
  LocalServerError,
  type LocalServerErrorCode,
  type ServerExit,
} from './local-server.ts';
export { type FindNatsOptions, findNatsBinary, type NatsBinary } from './nats-binary.ts';
export { type NatsServer, type NatsServerOptions, startNats } from './nats-server.ts';
export { guardAgainstParentDeath, type ParentGuardOptions } from './parent-guard.ts';
export { type PostgresServerOptions, startPostgres } from './postgres-server.ts';
