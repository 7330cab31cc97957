/**
 * Lanes on paper. A block is computed in two parts: one under a CPU token, in a thread, and one on the main thread,
 * of which there is one. In a lane the parts of a block follow each other; those of other lanes go on meanwhile.
 */

export interface LaneModel {
  /** Of all the work of a block, what is done on the main thread. */
  readonly serialFraction: number;
  readonly lanes: number;
  /** CPU tokens, and cores for them. */
  readonly tokens: number;
}

/** How many times faster than one, when nothing goes on beside the serial part (Amdahl 1967): the least to expect. */
export function amdahlSpeedup({ serialFraction, lanes, tokens }: LaneModel): number {
  return 1 / (serialFraction + (1 - serialFraction) / Math.min(lanes, tokens));
}

const BLOCKS = 200;

interface Lane {
  blocksLeft: number;
  /** Of the part under way. */
  workLeft: number;
  stage: 'waits for a token' | 'has a token' | 'waits for the main thread' | 'has the main thread';
}

/**
 * The same by simulation: every part that has its token or the main thread advances, as fast as the cores allow, until
 * the next is done. First come, first served.
 */
export function simulatedSpeedup(model: LaneModel): number {
  const { serialFraction, tokens } = model;
  const lanes: Lane[] = Array.from({ length: model.lanes }, () => ({
    blocksLeft: BLOCKS,
    workLeft: 1 - serialFraction,
    stage: 'waits for a token',
  }));
  let elapsed = 0;
  for (;;) {
    admit(lanes, 'waits for a token', 'has a token', tokens);
    admit(lanes, 'waits for the main thread', 'has the main thread', 1);
    const running = lanes.filter(({ stage }) => stage.startsWith('has'));
    if (running.length === 0) return (model.lanes * BLOCKS) / elapsed;
    const speed = Math.min(1, tokens / running.length);
    const step = Math.min(...running.map(({ workLeft }) => workLeft));
    elapsed += step / speed;
    for (const lane of running) {
      lane.workLeft -= step;
      if (lane.workLeft > 1e-12) continue;
      // To the end of the line.
      lanes.push(...lanes.splice(lanes.indexOf(lane), 1));
      advance(lane, serialFraction);
    }
  }
}

function admit(lanes: readonly Lane[], from: Lane['stage'], to: Lane['stage'], room: number): void {
  let left = room - lanes.filter(({ stage }) => stage === to).length;
  for (const lane of lanes) {
    if (lane.stage !== from || lane.blocksLeft === 0 || left <= 0) continue;
    lane.stage = to;
    left--;
  }
}

function advance(lane: Lane, serialFraction: number): void {
  if (lane.stage === 'has a token') {
    lane.stage = 'waits for the main thread';
    lane.workLeft = serialFraction;
    return;
  }
  lane.stage = 'waits for a token';
  lane.blocksLeft--;
  lane.workLeft = 1 - serialFraction;
}
