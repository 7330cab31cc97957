import type { TraceWriter, Track, TrackUuids } from '@tracelake/perfetto';

export interface LaneTracksOptions {
  readonly writer: TraceWriter;
  readonly uuids: TrackUuids;
  readonly parent: Track;
  /** What the ids of lanes are made from. */
  readonly key: string;
  /** All lanes have one name: the UI shows them as one track of several rows. */
  readonly name: string;
  readonly overflowKey: string;
  readonly overflowName: string;
  /** Lanes that have tracks already, from lane 0 on. */
  readonly given?: readonly Track[];
}

/** The tracks of lanes below one parent, each declared when its first span comes. */
export class LaneTracks {
  readonly #options: LaneTracksOptions;
  readonly #tracks: Track[];
  #overflow: Track | undefined;

  constructor(options: LaneTracksOptions) {
    this.#options = options;
    this.#tracks = [...(options.given ?? [])];
  }

  of(lane: number): Track {
    const known = this.#tracks[lane];
    if (known !== undefined) return known;
    const { key, name } = this.#options;
    const track = this.#declare(`${key}/${lane}`, name);
    this.#tracks[lane] = track;
    return track;
  }

  /** For what has no lane. */
  overflow(): Track {
    const { overflowKey, overflowName } = this.#options;
    this.#overflow ??= this.#declare(overflowKey, overflowName);
    return this.#overflow;
  }

  #declare(key: string, name: string): Track {
    const { writer, uuids, parent } = this.#options;
    return writer.writeTrack({ uuid: uuids.next(key), parent, name });
  }
}
