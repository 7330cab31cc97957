/** What the lake's figures mean. Materializers tell them, each of them all; they are up to half a minute old. */
import type { Finding } from './finding.ts';
import type { MetricSamples } from './metric-samples.ts';

/** As the alert has it; deploy/alerts/tracelake.rules.yaml. */
const unannouncedMaxS = 120;
/** Announcements are taken by the thousand a second; each request is a build on which somebody waits. */
const lagLimits: Readonly<Record<string, { readonly note: number; readonly wrong: number }>> = {
  TELEMETRY: { note: 1000, wrong: 10_000 },
  MATERIALIZE: { note: 100, wrong: 1000 },
};

interface LakeCheck {
  readonly check: string;
  /** Undefined when the figures that it needs are not told. */
  readonly judge: (samples: MetricSamples) => Finding | undefined;
}

/** `undefined` is a materializer that told no metrics. */
export function judgeLake(samples: MetricSamples | undefined): Finding[] {
  if (samples === undefined) {
    const text = 'what the lake holds and what waits in it: no materializer tells its metrics';
    return [{ verdict: 'unknown', check: 'lake', text, runbook: 'service-down' }];
  }
  const findings: Finding[] = [];
  const unknown: string[] = [];
  for (const { check, judge } of lakeChecks) {
    const finding = judge(samples);
    if (finding === undefined) unknown.push(check);
    else findings.push(finding);
  }
  if (unknown.length > 0) {
    const why =
      'the materializer has not looked yet, its look failed, or its version has no such metric';
    findings.push({
      verdict: 'unknown',
      check: 'lake',
      text: `${unknown.join(', ')}: ${why}`,
      runbook: 'service-not-ready',
    });
  }
  return findings;
}

const lakeChecks: readonly LakeCheck[] = [
  { check: 'announcements', judge: judgeAnnouncements },
  { check: 'lanes', judge: judgeLanes },
  { check: 'consumer-lag', judge: judgeLag },
  { check: 'dead-letters', judge: judgeDeadLetters },
  { check: 'rejected-blocks', judge: judgeRejected },
  { check: 'pending-blocks', judge: judgePending },
];

function judgeAnnouncements(samples: MetricSamples): Finding | undefined {
  const rows = samples.find('tracelake_lake_unannounced_rows');
  const oldestS = samples.find('tracelake_lake_unannounced_oldest_seconds');
  if (rows === undefined || oldestS === undefined) return undefined;
  const check = 'announcements';
  if (rows === 0 || oldestS <= unannouncedMaxS) {
    return { verdict: 'well', check, text: 'what is stored is announced' };
  }
  const text =
    `${rows} stored row(s) are not announced, the oldest for ${Math.round(oldestS)} s: ` +
    'ingest does not reach NATS, or does not run';
  return { verdict: 'wrong', check, text, runbook: 'announcements-pending' };
}

function judgeLanes(samples: MetricSamples): Finding | undefined {
  const lanes = samples.find('tracelake_lake_lanes_without_owner');
  if (lanes === undefined) return undefined;
  if (lanes === 0) return { verdict: 'well', check: 'lanes', text: 'every lane has an owner' };
  const text = `${lanes} lane(s) have no owner: nothing of their processes is built ahead`;
  return { verdict: 'wrong', check: 'lanes', text, runbook: 'lane-without-owner' };
}

function judgeLag(samples: MetricSamples): Finding | undefined {
  // Without messages there may be no consumers yet; the streams are there as soon as somebody looked.
  if (samples.all('tracelake_bus_stream_messages').length === 0) return undefined;
  const pending = samples.all('tracelake_bus_consumer_pending');
  const sums = Object.entries(lagLimits).map(([stream, limits]) => {
    const ofStream = pending.filter(({ labels }) => labels.stream === stream);
    return { stream, ...limits, sum: ofStream.reduce((total, { value }) => total + value, 0) };
  });
  const check = 'consumer-lag';
  const each = sums.map(({ stream, sum }) => `${sum} of ${stream}`).join(', ');
  const text = `messages that wait for a materializer: ${each}`;
  if (sums.every(({ sum, note }) => sum < note)) return { verdict: 'well', check, text };
  const verdict = sums.some(({ sum, wrong }) => sum >= wrong) ? 'wrong' : 'note';
  return { verdict, check, text, runbook: 'consumer-lag' };
}

function judgeDeadLetters(samples: MetricSamples): Finding | undefined {
  const dead = samples
    .all('tracelake_bus_stream_messages')
    .find(({ labels }) => labels.stream === 'DEAD')?.value;
  if (dead === undefined) return undefined;
  const check = 'dead-letters';
  if (dead === 0) return { verdict: 'well', check, text: 'there are no dead letters' };
  const text = `${dead} dead letter(s): "tracelake dead-letters list" has their reasons`;
  return { verdict: 'note', check, text, runbook: 'dead-letters' };
}

function judgeRejected(samples: MetricSamples): Finding | undefined {
  const rejected = samples.find('tracelake_lake_rejected_blocks');
  if (rejected === undefined) return undefined;
  const check = 'rejected-blocks';
  if (rejected === 0) return { verdict: 'well', check, text: 'every block could be decoded' };
  const text =
    `${rejected} block(s) could not be decoded and are missing from views: ` +
    'SELECT * FROM rejected_blocks has their reasons';
  return { verdict: 'note', check, text, runbook: 'blocks-rejected' };
}

function judgePending(samples: MetricSamples): Finding | undefined {
  const pending = samples.find('tracelake_lake_pending_blocks');
  if (pending === undefined) return undefined;
  const check = 'pending-blocks';
  if (pending === 0)
    return { verdict: 'well', check, text: 'every block has its stream and process' };
  const text = `${pending} block(s) of the last hour wait for their stream or process`;
  return { verdict: 'note', check, text, runbook: 'blocks-pending' };
}
