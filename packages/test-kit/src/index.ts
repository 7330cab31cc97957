export {
  type CsvTable,
  fixtureCases,
  fixtureDirectory,
  type IngestRequest,
  loadFixture,
  type NativeFixture,
} from './fixtures.ts';
export { startTestNats, type TestNats, type TestNatsOptions } from './nats-fixture.ts';
export { startTestPostgres, type TestPostgres } from './postgres-fixture.ts';
export { type SeededRandom, seededRandom } from './seeded-random.ts';
export {
  type DecodedSlice,
  type DecodedTrace,
  type DecodedTrack,
  decodeTrace,
  TraceDecoder,
} from './trace-decoder.ts';
