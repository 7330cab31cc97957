/** One thing that the doctor looked at. */
export interface Finding {
  /**
   * `wrong` is what does not work, or will soon be lost sight of; `note` is for somebody to look at some day;
   * `unknown` could not be told.
   */
  readonly verdict: 'well' | 'note' | 'wrong' | 'unknown';
  /** What was looked at: `service`, `lanes`, `versions`. */
  readonly check: string;
  readonly text: string;
  /** The page that says what to do, below `deploy/runbooks/`, without `.md`. */
  readonly runbook?: string;
}

/** Where the page of a finding is, from the root of a clone. */
export function runbookPath(page: string): string {
  return `deploy/runbooks/${page}.md`;
}
