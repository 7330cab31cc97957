export {
  type LocalServer,
  LocalServerError,
  type LocalServerErrorCode,
  type ServerExit,
} from './local-server.ts';
export { type PostgresServerOptions, startPostgres } from './postgres-server.ts';
export { type NatsServer, type NatsServerOptions, startNats } from './nats-server.ts';
