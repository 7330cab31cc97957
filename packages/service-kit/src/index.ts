export { type ApiKey, ApiKeyRing, readApiKeys } from './api-keys.ts';
export { type ExposureRule, findExposureProblem, isLoopback } from './bind-rule.ts';
export { ByteBudget, type ByteReservation } from './byte-budget.ts';
export { ClientConnection } from './client-connection.ts';
export { busSettingsOf, type CommonConfig, readCommonConfig } from './config.ts';
export { ConfigError, type ConfigIssue } from './config-error.ts';
export { type Environment, EnvReader, type NumberRange, type UrlRule } from './env-reader.ts';
export { createHttpServer, type HttpServer, type HttpServerOptions } from './http-server.ts';
export { InFlightTracker } from './in-flight-tracker.ts';
export { isKnownVariable } from './known-variables.ts';
export { type LakeStores, openLakeStores } from './lake-stores.ts';
export {
  createLogger,
  describeError,
  type LogFields,
  type Logger,
  type LoggerOptions,
  type LogLevel,
  logLevels,
} from './logger.ts';
export {
  type Counter,
  createMetrics,
  durationBucketsMs,
  type Gauge,
  type Histogram,
  type MetricOptions,
  Metrics,
} from './metrics.ts';
export {
  type Problem,
  ProblemError,
  type ProblemFacts,
  problem,
  problemOf,
  retryAfterOf,
} from './problem.ts';
export {
  type CheckReport,
  Readiness,
  type ReadinessCheck,
  type ReadinessOptions,
  type ReadinessReport,
  takesWork,
} from './readiness.ts';
export { type ResponseEventWait, responseEvent } from './response-event.ts';
export {
  type RunningService,
  type RunServiceOptions,
  runService,
  type ServiceContext,
} from './run-service.ts';
export { type DependencyWait, waitForDependency } from './wait-for-dependency.ts';
