/* One message: who said it, what, when, and how far it has come. Its parts are made anew only where they changed.

    bubble(message, {about, chat, who, onMenu(message, button), onQuote(message)})  → {element, update(message)}
*/

import { h, replace } from '../../dom.js';
import { dateTime, t, time } from '../../i18n.js';
import { icon } from '../../icons.js';
import { actionsOf } from './actions.js';
import { contentOf } from './content.js';
import { failureOf, ticks } from './ticks.js';
import { authorOf, previewOf, writerOf } from './words.js';

const QUOTE_CHARACTERS = 140;
const LABEL_CHARACTERS = 60;

export function bubble(first, context) {
  const head = h('div', { class: 'bubble-who' });
  const body = h('div', { class: 'bubble-body' });
  const meta = h('div', { class: 'bubble-meta' });
  const extras = h('div', { class: 'bubble-extras' });
  let current = first;
  const more = h('button', {
    type: 'button', class: 'bubble-more quiet small icon-only', tabindex: '-1', 'aria-haspopup': 'menu', 'aria-expanded': 'false',
    onclick: () => context.onMenu(current, more),
  }, icon('more'));
  const element = h('li', { class: `bubble ${first.direction}`, 'data-id': first.id },
    h('div', { class: 'bubble-row' }, h('div', { class: 'bubble-box' }, head, body, meta), more), extras);
  const parts = [
    [head, (message) => drawHead(message, context)],
    [body, (message, about) => drawBody(message, about, context)],
    [meta, (message) => { label(more, message, context); return drawMeta(message); }],
    [extras, drawExtras],
  ];
  const seen = ['', '', '', ''];

  function update(message) {
    current = message;
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
    JSON.stringify([type, content, revokedAt, about.votes, replyTo, about.replied?.id, about.replied?.revokedAt, about.replied?.editedAt]),
    JSON.stringify([status, editedAt, revokedAt, message.waMessageId]),
    JSON.stringify([about.reactions, about.mine, status, error]),
  ];
}

function drawHead(message, { chat }) {
  const author = authorOf(message, chat);
  return author && [icon(author.icon), h('span', {}, author.words)];
}

function label(more, message, { who }) {
  more.hidden = actionsOf(message, who).length === 0;
  const words = previewOf(message).slice(0, LABEL_CHARACTERS);
  more.setAttribute('aria-label', t('conversations.menu.of', { words }));
}

function drawBody(message, { replied, votes }, context) {
  if (message.revokedAt) return h('p', { class: 'bubble-note' }, t('conversations.revoked'));
  return [message.replyTo && quote(message, replied, context), contentOf(message, votes)];
}

/** What is answered; pressed, it is gone to. */
function quote(message, replied, { chat, onQuote }) {
  const words = replied ? previewOf(replied) : t('conversations.quoted');
  return h('button', { type: 'button', class: 'bubble-quote', onclick: () => onQuote(message) },
    replied && h('strong', {}, writerOf(replied, chat)),
    h('span', {}, words.length > QUOTE_CHARACTERS ? `${words.slice(0, QUOTE_CHARACTERS)}…` : words));
}

function drawMeta(message) {
  const { sentAt, editedAt, revokedAt, direction } = message;
  return [
    editedAt && !revokedAt && h('span', { title: dateTime(editedAt) }, t('conversations.edited')),
    h('time', { datetime: sentAt }, time(sentAt)),
    direction === 'outgoing' && !revokedAt && ticks(message.status),
  ];
}

function drawExtras(message, { reactions, mine }) {
  const failure = failureOf(message);
  return [
    reactions.length > 0 && h('span', { class: 'reactions' },
      h('span', { class: 'visually-hidden' }, t('conversations.reactions')),
      reactions.map(({ emoji, times }) => h('span', { class: emoji === mine && 'mine' }, emoji, times > 1 && ` ${times}`))),
    failure && h('p', { class: 'bubble-failure' }, failure),
  ];
}
