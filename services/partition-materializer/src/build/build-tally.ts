import type { BuildReport } from './build-report.ts';
import type { PlanExecutionOutcome } from './plan-execution.ts';

/** What one call has built, over all its attempts. */
export class BuildTally {
  #built = 0;
  #blocksDecoded = 0;
  #rows = 0;

  get isEmpty(): boolean {
    return this.#built === 0;
  }

  add(outcome: PlanExecutionOutcome): void {
    this.#built += outcome.built;
    this.#blocksDecoded += outcome.blocksDecoded;
    this.#rows += outcome.rows;
  }

  counts(): Pick<BuildReport, 'built' | 'blocksDecoded' | 'rows'> {
    return { built: this.#built, blocksDecoded: this.#blocksDecoded, rows: this.#rows };
  }
}
