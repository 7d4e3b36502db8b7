/* follow(look, {seconds, signal}): look() after something happened, and now and then, but calmly.

Deliveries have no events of their own; they follow the company's events within moments. So any event has the page look again a
little later, however many come meanwhile, and a slow tick sees what happens without one: the next attempt of what failed.
*/

import { every, listen } from '../../events.js';

const AFTER_MS = 1500;

export function follow(look, { seconds, signal }) {
  let waiting = null;
  listen(['*'], () => {
    waiting ??= setTimeout(() => {
      waiting = null;
      if (!document.hidden && !signal.aborted) look();
    }, AFTER_MS);
  }, signal);
  every(seconds, look, signal);
  signal.addEventListener('abort', () => clearTimeout(waiting), { once: true });
}
