import { AppError } from '@tracelake/domain';

/** One variable that cannot be used and why. Never carries the value of a secret. */
export interface ConfigIssue {
  readonly variable: string;
  readonly problem: string;
}

/** Thrown once for a whole environment: `issues` lists every bad variable. */
export class ConfigError extends AppError<'service-kit.bad-config'> {
  readonly issues: readonly ConfigIssue[];

  constructor(issues: readonly ConfigIssue[]) {
    const lines = issues.map((issue) => `${issue.variable}: ${issue.problem}`);
    super('service-kit.bad-config', `bad configuration: ${lines.join('; ')}`, {
      details: { issues },
    });
    this.issues = issues;
  }
}
