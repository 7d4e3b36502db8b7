/* One message: who said it, what, when, and how far it has come. Its parts are made anew only where they changed.

    bubble(message, {about, chat})  → {element, update(message)}
*/

import { h, replace } from '../../dom.js';
import { dateTime, t, time } from '../../i18n.js';
import { icon } from '../../icons.js';
import { contentOf } from './content.js';
import { failureOf, ticks } from './ticks.js';
import { authorOf, previewOf } from './words.js';

export function bubble(first, context) {
  const head = h('div', { class: 'bubble-who' });
  const body = h('div', { class: 'bubble-body' });
  const meta = h('div', { class: 'bubble-meta' });
  const extras = h('div', { class: 'bubble-extras' });
  const element = h('li', { class: `bubble ${first.direction}`, 'data-id': first.id }, h('div', { class: 'bubble-box' }, head, body, meta), extras);
  const parts = [
    [head, (message) => drawHead(message, context)],
    [body, (message, about) => drawBody(message, about)],
    [meta, drawMeta],
    [extras, drawExtras],
  ];
  const seen = ['', '', '', ''];

  function update(message) {
    const about = context.about(message);
    const signs = signsOf(message, about);
    signs.forEach((sign, at) => {
      if (sign === seen[at]) return;
      seen[at] = sign;
      const [node, draw] = parts[at];
      const children = [draw(message, about)].flat().filter(Boolean);
      node.hidden = children.length === 0;
      replace(node, ...children);
    });
    element.classList.toggle('failed', message.status === 'failed');
  }

  update(first);
  return { element, update };
}

/** What each part is made of. */
function signsOf(message, about) {
  const { type, content, revokedAt, editedAt, status, error, automation, origin, senderName, replyTo } = message;
  return [
    JSON.stringify([automation, origin, senderName]),
    JSON.stringify([type, content, revokedAt, about.votes, replyTo, about.replied?.id, about.replied?.revokedAt]),
    JSON.stringify([status, editedAt, revokedAt]),
    JSON.stringify([about.reactions, status, error]),
  ];
}

function drawHead(message, { chat }) {
  const author = authorOf(message, chat);
  return author && [icon(author.icon), h('span', {}, author.words)];
}

function drawBody(message, { replied, votes }) {
  if (message.revokedAt) return h('p', { class: 'bubble-note' }, t('conversations.revoked'));
  return [message.replyTo && quote(replied), contentOf(message, votes)];
}

function quote(replied) {
  const words = replied ? previewOf(replied) : t('conversations.quoted');
  return h('blockquote', { class: 'bubble-quote' }, words.length > 140 ? `${words.slice(0, 140)}…` : words);
}

function drawMeta(message) {
  const { sentAt, editedAt, revokedAt, direction } = message;
  return [
    editedAt && !revokedAt && h('span', { title: dateTime(editedAt) }, t('conversations.edited')),
    h('time', { datetime: sentAt }, time(sentAt)),
    direction === 'outgoing' && !revokedAt && ticks(message.status),
  ];
}

function drawExtras(message, { reactions }) {
  const failure = failureOf(message);
  return [
    reactions.length > 0 && h('span', { class: 'reactions' },
      h('span', { class: 'visually-hidden' }, t('conversations.reactions')),
      reactions.map(({ emoji, times }) => h('span', {}, emoji, times > 1 && ` ${times}`))),
    failure && h('p', { class: 'bubble-failure' }, failure),
  ];
}
