/**
 * Preloaded into every service of the stack: when the supervisor is gone, `kill -9` included, the
 * channel to it closes and the service drains as on SIGTERM, instead of holding its port for ever.
 */
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
// The listener alone would keep a finished service alive.
process.channel?.unref();
