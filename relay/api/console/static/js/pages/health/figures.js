/* figures({server}) → {element, update({state})}: sessions by state, what waits, and for operators the server itself. */

import { h } from '../../dom.js';
import { duration, number, t } from '../../i18n.js';
import { badge } from '../../parts/status.js';
import { href } from '../../routes.js';

const KINDS = { connected: 'good', connecting: 'info', disconnected: 'off', failed: 'bad' };
const LATE_SECONDS = 60;

export function figures({ server }) {
  const cells = new Map(); // name → the element that says it
  const cell = (name) => {
    cells.set(name, h('dd', { class: 'number' }));
    return cells.get(name);
  };
  const fact = (name, label) => [h('dt', {}, label), cell(name)];
  const sessions = Object.entries(KINDS).map(([status, kind]) => [h('dt', {}, badge(kind, t(`health.sessions.${status}`))), cell(status)]);
  const element = h('section', { class: 'health-figures', 'aria-label': t('health.now') },
    card(t('health.sessions'), sessions, !server && h('a', { href: href('sessions') }, t('health.sessions.all'))),
    card(t('health.queues'), [
      fact('queued', t('health.queued')),
      fact('replies', t('health.replies')),
      fact('questions', t('health.questions')),
      fact('owed', t('health.owed')),
      fact('oldest', t('health.oldest')),
    ]),
    server && card(t('health.server'), [
      fact('hosts', t('health.hosts')),
      fact('version', t('health.version')),
      fact('uptime', t('health.uptime')),
      fact('memory', t('health.memory')),
    ], h('p', { class: 'soft small' }, t('health.server.text'))));

  function say(name, words, late = false) {
    const node = cells.get(name);
    if (!node) return;
    if (node.textContent !== words) node.textContent = words;
    node.classList.toggle('late', late);
  }

  function update({ state }) {
    for (const status of Object.keys(KINDS)) say(status, number(state[status]), status === 'failed' && state.failed > 0);
    const { replies, deliveries } = state;
    say('queued', many(state.queued));
    say('replies', replies.waiting && replies.oldestSeconds >= 1
      ? t('health.since', { count: many(replies.waiting), duration: duration(Math.round(replies.oldestSeconds)) }) : many(replies.waiting), replies.oldestSeconds > LATE_SECONDS);
    say('questions', many(state.agentQuestions));
    say('owed', many(deliveries.owed));
    say('oldest', deliveries.oldestDueSeconds >= 1 ? duration(Math.round(deliveries.oldestDueSeconds)) : t('health.oldest.none'), deliveries.oldestDueSeconds > LATE_SECONDS);
    say('hosts', number(state.hosts));
    say('version', state.version);
    say('uptime', duration(Math.round(state.uptimeSeconds)));
    say('memory', number(state.memory.rssBytes / 2 ** 20, { style: 'unit', unit: 'megabyte', maximumFractionDigits: 0 }));
  }

  return { element, update };
}

/** What is counted up to 10,000 only. */
function many(count) {
  return count >= 10_000 ? `${number(count)}+` : number(count);
}

function card(title, facts, end) {
  return h('div', { class: 'card health-card' }, h('h2', {}, title), h('dl', {}, facts), end);
}
