/** A receipt as headers, and as the member of a JSON answer. Pure. */

import { formatRfc3339 } from '@tracelake/domain';
import type { Receipt } from '../planning/partition-choice.ts';
import type { QueryRange } from '../planning/source-selection.ts';

export function receiptHeaders(receipt: Receipt, range: QueryRange): Record<string, string> {
  const name = (part: string) => `tracelake-receipt-${part}`;
  const { begin, end } = rangeTexts(range);
  return {
    [name('blocks-known')]: String(receipt.blocksKnown),
    [name('blocks-read')]: String(receipt.blocksRead),
    [name('blocks-rejected')]: String(receipt.blocksRejected),
    [name('rejected-ids')]: receipt.rejectedIds.join(','),
    // An end that is not given is two dots, as in ISO 8601-2.
    [name('range')]: `${begin ?? '..'}/${end ?? '..'}`,
    [name('view-versions')]: receipt.viewVersions.join(','),
    [name('process-writing')]: String(receipt.processWriting),
  };
}

export function receiptJson(receipt: Receipt, range: QueryRange): Record<string, unknown> {
  return {
    blocks_known: receipt.blocksKnown,
    blocks_read: receipt.blocksRead,
    blocks_rejected: receipt.blocksRejected,
    rejected_ids: receipt.rejectedIds,
    range: rangeTexts(range),
    view_versions: receipt.viewVersions,
    process_writing: receipt.processWriting,
  };
}

function rangeTexts({ beginNs, endNs }: QueryRange) {
  return {
    begin: beginNs === undefined ? null : formatRfc3339(beginNs),
    end: endNs === undefined ? null : formatRfc3339(endNs),
  };
}
