/**
 * Closing a connection whose request was answered before its body was there. Closed at once, the kernel resets
 * it as more of the body comes, and a client that is still sending sees a broken pipe in place of the answer: it
 * would send again what was refused for good.
 */

import type { IncomingMessage } from 'node:http';

const LINGER_MS_MAX = 5000;
const CHECK_MS = 250;

/**
 * Makes the close that follows the answer wait: what comes is thrown away until the client has seen the answer
 * and stops, sends nothing for a moment, or has had `LINGER_MS_MAX`.
 */
export function lingerBeforeClose(request: IncomingMessage): void {
  const { socket } = request;
  socket.destroySoon = () => {
    const deadlineMs = performance.now() + LINGER_MS_MAX;
    let bytesSeen = socket.bytesRead;
    const timer = setInterval(() => {
      const isSilent = socket.bytesRead === bytesSeen;
      bytesSeen = socket.bytesRead;
      if (isSilent || performance.now() > deadlineMs) socket.destroy();
    }, CHECK_MS);
    socket.once('close', () => clearInterval(timer));
    socket.end();
    request.resume();
  };
}
