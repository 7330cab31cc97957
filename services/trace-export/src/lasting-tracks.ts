/** Tracks that are never written to: what is compiled for others outlives the export that they belong to. */

import { keepCompiled, nanoseconds } from '@tracelake/domain';
import { TraceWriter, TrackUuids } from '@tracelake/perfetto';
import { AsyncTracks } from './async-tracks.ts';
import { ScopeCache } from './scope-cache.ts';
import { ThreadTracks } from './thread-tracks.ts';

const writer = new TraceWriter();
const process = writer.writeProcess({
  uuid: 0n,
  pid: 0,
  name: '',
  commandLine: '',
  startNs: nanoseconds(0n),
  description: '',
});
const common = {
  writer,
  uuids: new TrackUuids(() => 0n),
  scopes: new ScopeCache(),
  openSpansMax: 0,
};
keepCompiled(new AsyncTracks({ ...common, process, processId: '' }));
keepCompiled(new ThreadTracks({ ...common, thread: process, streamId: '' }));
