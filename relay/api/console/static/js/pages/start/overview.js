/* How many sessions are in which state, live, and where to go next. */

import { h, replace } from '../../dom.js';
import { listen } from '../../events.js';
import { number, t } from '../../i18n.js';
import { pageHeader } from '../../parts/header.js';
import { href } from '../../routes.js';
import { STATUSES } from '../sessions/words.js';
import { nextSteps } from './next.js';

export function showOverview(container, { sessions, signal }) {
  const states = new Map(sessions.map(({ id, status }) => [id, status]));
  const counts = h('div', { class: 'counts' });
  const draw = () => replace(counts, STATUSES.map((status) => {
    const count = [...states.values()].filter((one) => one === status).length;
    return h('div', { class: `card count ${status}` }, h('p', { class: 'soft' }, t(`start.count.${status}`)), h('p', { class: 'figure number' }, number(count)));
  }));
  listen(['session.status'], ({ sessionId, status }) => { states.set(sessionId, status); draw(); }, signal);
  draw();
  replace(container,
    pageHeader({
      title: t('start.hello'), text: t('start.ready.text'),
      actions: [h('a', { class: 'button', href: href('sessions') }, t('start.sessionsLink'))],
    }),
    counts, nextSteps(),
    h('p', {}, h('a', { href: href('start', { guide: 1 }) }, t('start.again'))));
}
