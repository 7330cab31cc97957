/** Tracks that are never written to: what is compiled for others outlives the export that they belong to. */

import { keepCompiled, nanoseconds } from '@tracelake/domain';
import { TraceWriter, TrackUuids } from '@tracelake/perfetto';
import { AsyncTracks } from './async-tracks.ts';
import { ScopeCache } from './scope-cache.ts';
import { spanWordsOf } from './span-words.ts';
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
keepCompiled(
  spanWordsOf(
    {
      rowCount: 0,
      id: new BigInt64Array(0),
      parent: new BigInt64Array(0),
      depth: new Uint32Array(0),
      begin: new BigInt64Array(0),
      end: new BigInt64Array(0),
      scope: new Uint32Array(0),
      open: new Uint8Array(0),
      scopes: [],
      retained: undefined,
    },
    common.scopes,
  ),
);
