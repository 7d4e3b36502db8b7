/* How many sessions are in which state, live, and where to go next.

    GET whatsapp/sessions (all pages) ──► counts ◄── session.status (live)
                                            └── once more now and then, and after a gap: no event tells of a deletion
*/

import { api } from '../../api.js';
import { h, replace } from '../../dom.js';
import { every, isLive, listen, onLive } from '../../events.js';
import { number, t } from '../../i18n.js';
import { pageHeader } from '../../parts/header.js';
import { href } from '../../routes.js';
import { STATUSES } from '../sessions/words.js';
import { nextSteps } from './next.js';

const LOOK_SECONDS = 20;
const LOOK_BLIND_SECONDS = 3;

export function showOverview(container, { sessions, signal }) {
  const counts = h('div', { class: 'counts' });
  follow(sessions, (states) => replace(counts, STATUSES.map((status) => {
    const count = states.filter((one) => one === status).length;
    return h('div', { class: `card count ${status}` }, h('p', { class: 'soft' }, t(`start.count.${status}`)), h('p', { class: 'figure number' }, number(count)));
  })), signal);
  replace(container,
    pageHeader({
      title: t('start.hello'), text: t('start.ready.text'),
      actions: [h('a', { class: 'button', href: href('sessions') }, t('start.sessionsLink'))],
    }),
    counts, nextSteps(),
    h('p', {}, h('a', { href: href('start', { guide: 1 }) }, t('start.again'))));
}

/** Calls draw([status, …]) now and whenever they may have changed. */
function follow(sessions, draw, signal) {
  let states = new Map(sessions.map(({ id, status }) => [id, status]));
  let heard = new Map();
  const drawNow = () => draw([...states.values()]);
  const look = async () => {
    // What is heard while the pages come is newer than they are.
    const news = heard = new Map();
    try {
      const found = new Map();
      for await (const page of api.all('whatsapp/sessions', 'sessions', {}, { signal })) {
        for (const { id, status } of page) found.set(id, status);
      }
      states = new Map([...found, ...news]);
      drawNow();
    } catch (error) {
      // What is on show stays on show: the next look may do better.
      if (error.name !== 'ApiError' && error.name !== 'AbortError') throw error;
    }
  };
  listen(['session.status'], ({ sessionId, status }) => {
    states.set(sessionId, status);
    heard.set(sessionId, status);
    drawNow();
  }, signal);
  onLive((live) => { if (live) look(); }, signal);
  every(LOOK_SECONDS, () => { if (isLive()) look(); }, signal);
  every(LOOK_BLIND_SECONDS, () => { if (!isLive()) look(); }, signal);
  drawNow();
}
