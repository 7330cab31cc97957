export { startTestPostgres, type TestPostgres } from './postgres-fixture.ts';
