/* What happens, as it happens: one EventSource on /api/v1/events for the whole page, opened by the shell.

    listen(['session.*', 'message.received'], (data, {id, type, timestamp}) => …, signal)  → stop
        `data` is the event's own data (docs/webhooks.md shows each type's); stops by itself when `signal` aborts
    isLive()                          whether events arrive; never so with a key that may not read them
    onLive((live) => …, signal)       called when that changes: after a gap, look at your lists once more
    every(seconds, work, signal)      calls work() now and then, while the page is on show: what no event tells,
                                      and a backstop where isLive() is false
    openEvents() / closeEvents()      the shell's

After a short gap the browser resumes by itself with Last-Event-ID; after a refusal (the server restarted) we do.
*/

import { api } from './api.js';

export const TYPES = [
  'message.received', 'message.status', 'message.media', 'message.edited', 'message.revoked', 'message.reaction',
  'call.received', 'session.status', 'session.qr', 'automation.handoff', 'automation.paused', 'automation.resumed',
  'automation.event', 'contact.deleted', 'endpoint.disabled', 'webhook.test',
];
const AGAIN_MS = 3000;

const listeners = new Set(); // {fits, callback}
const watchers = new Set();
let source = null;
let lastId = null;
let live = false;
let timer = null;

export function listen(types, callback, signal) {
  const listener = { fits: (type) => types.some((wanted) => covers(wanted, type)), callback };
  return join(listeners, listener, signal);
}

export function isLive() {
  return live;
}

export function onLive(callback, signal) {
  return join(watchers, callback, signal);
}

export function every(seconds, work, signal) {
  const ticking = setInterval(() => { if (!document.hidden) work(); }, seconds * 1000);
  signal.addEventListener('abort', () => clearInterval(ticking), { once: true });
}

export function openEvents() {
  closeEvents();
  const opened = new EventSource(api.url('events', { lastEventId: lastId }));
  source = opened;
  opened.onopen = () => say(true);
  opened.onerror = () => {
    say(false);
    if (opened.readyState === EventSource.CLOSED) timer = setTimeout(checkAndOpen, AGAIN_MS);
  };
  for (const type of TYPES) opened.addEventListener(type, tell);
}

export function closeEvents({ forget = false } = {}) {
  clearTimeout(timer);
  source?.close();
  source = null;
  if (forget) lastId = null;
  live = false;
}

async function checkAndOpen() {
  const ended = source;
  // Says so itself when nobody is signed in any more.
  try {
    await api.get('events', { limit: 1, types: 'webhook.test' });
  } catch (error) {
    if (error.status === 401) return;
    if (error.status === 400) lastId = null;
  }
  // Closed meanwhile, or opened anew for another company.
  if (source === ended) openEvents();
}

function tell(event) {
  lastId = event.lastEventId;
  const { type, timestamp, data } = JSON.parse(event.data);
  for (const { fits, callback } of [...listeners]) {
    if (fits(type)) callback(data, { id: event.lastEventId, type, timestamp });
  }
}

function say(now) {
  if (now === live) return;
  live = now;
  for (const watcher of [...watchers]) watcher(live);
}

function join(set, member, signal) {
  const stop = () => set.delete(member);
  if (signal?.aborted) return stop;
  set.add(member);
  signal?.addEventListener('abort', stop, { once: true });
  return stop;
}

function covers(wanted, type) {
  return wanted === type || wanted === '*' || (wanted.endsWith('.*') && type.startsWith(wanted.slice(0, -1)));
}
