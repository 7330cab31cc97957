import { AppError } from '@tracelake/domain';

/** The other side is gone. A sender finds the item it could not hand over in `item`. */
export class ChannelClosedError extends AppError<'channels.closed'> {
  readonly item: unknown;

  constructor(channel: string, item: unknown, cause?: unknown) {
    super('channels.closed', `channel ${channel} is closed`, cause === undefined ? {} : { cause });
    this.item = item;
  }
}
