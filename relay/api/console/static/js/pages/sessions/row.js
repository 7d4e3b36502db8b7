/* One session in the list: what it is, how it stands, and what can be done about it. */

import { h } from '../../dom.js';
import { number, t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { phone } from '../../parts/phone.js';
import { tag } from '../../parts/status.js';
import { relative } from '../../parts/time.js';
import { deleteSession, disconnect, reconnect, simulateScan } from './actions.js';
import { showConnect } from './connect.js';
import { changeSettings } from './settings.js';
import { isWaiting, reasonOf, stateBadge } from './words.js';

export function columns(context) {
  return [
    { title: t('sessions.account'), class: 'lead', cell: who },
    { title: t('sessions.state'), cell: state },
    { title: t('sessions.lastActive'), cell: ({ lastActive }) => relative(lastActive) },
    { title: t('sessions.sentToday'), cell: sentToday },
    { title: t('sessions.actions'), class: 'actions', cell: (session) => actions(session, context) },
  ];
}

function who(session) {
  return h('div', { class: 'session-who' },
    h('strong', { class: 'session-name' }, session.name),
    session.phone && h('span', { class: 'session-number number soft' }, phone(session.phone)),
    h('span', { class: 'row tags' },
      session.engine === 'sandbox' && tag(t('sessions.engine.sandbox')),
      session.automation && tag(t('sessions.bot.on')),
      session.hasProxy && tag(t('sessions.proxy'))));
}

function state(session) {
  const reason = reasonOf(session);
  return h('div', { class: 'session-state' }, stateBadge(session), reason && h('p', { class: 'soft small' }, reason));
}

function sentToday({ usedToday: sent, limits: { perDay } }) {
  if (sent === null || sent === undefined) return h('span', { class: 'soft' }, '–');
  const share = perDay > 0 ? sent / perDay : 1;
  const kind = share >= 1 ? 'full' : share >= 0.8 ? 'high' : '';
  return h('div', { class: 'session-budget' },
    h('span', { class: 'number' }, t('sessions.sentOf', { sent, budget: perDay })),
    h('div', { class: `meter ${kind}`, 'aria-hidden': 'true' }, h('span', { style: { width: `${share * 100}%` } })),
    share >= 1 && h('p', { class: 'small soft' }, t('sessions.budgetUsed', { budget: number(perDay) })));
}

function actions(session, context) {
  const { name } = session;
  const small = (label, draw, work, kind = '') => h('button', {
    type: 'button', class: `${kind} small icon-only`, 'aria-label': t(label, { name }), title: t(label, { name }), onclick: () => work(session, context),
  }, icon(draw));
  return [
    main(session, context),
    small('sessions.settingsOf', 'settings', changeSettings, 'quiet'),
    small('sessions.deleteOf', 'trash', deleteSession, 'quiet bad'),
  ];
}

/** The one or two things that are most likely wanted now. */
function main(session, context) {
  const button = (label, draw, work, kind = '') => h('button', {
    type: 'button', class: `small ${kind}`, onclick: (event) => work(session, context, event.currentTarget),
  }, icon(draw), t(label), h('span', { class: 'visually-hidden' }, session.name));
  if (isWaiting(session)) {
    const code = session.reason === 'waiting_for_code' ? 'sessions.showCode' : 'sessions.showQr';
    if (session.engine !== 'sandbox') return button(code, 'qr', showConnect, 'primary');
    return [
      button('sessions.simulate', 'phone', simulateScan, 'primary'),
      h('button', {
        type: 'button', class: 'small icon-only', title: t(code), 'aria-label': `${t(code)} ${session.name}`, onclick: () => showConnect(session, context),
      }, icon('qr')),
    ];
  }
  if (session.status === 'connected') return button('sessions.disconnect', 'unlink', disconnect);
  if (session.status === 'connecting') return button('sessions.stop', 'unlink', disconnect);
  return session.phone
    ? button('sessions.reconnect', 'refresh', reconnect, 'primary')
    : button('sessions.connect', 'link', showConnect, 'primary');
}
