export { startTestPostgres, type TestPostgres } from './postgres-fixture.ts';
export {
  type DecodedSlice,
  type DecodedTrace,
  type DecodedTrack,
  decodeTrace,
  TraceDecoder,
} from './trace-decoder.ts';
