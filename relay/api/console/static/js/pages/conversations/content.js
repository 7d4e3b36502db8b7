/* contentOf(message, votes) → what a message holds, by its type. */

import { h } from '../../dom.js';
import { number, t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { mediaOf } from './media.js';
import { words } from './text.js';

const DRAW = {
  text: ({ text }) => words(text ?? ''),
  image: mediaOf, video: mediaOf, audio: mediaOf, document: mediaOf, sticker: mediaOf,
  location, contact, poll,
  call: ({ video }) => note('phone', video ? t('conversations.call.video') : t('conversations.call.voice')),
};

export function contentOf({ type, content }, votes) {
  const draw = DRAW[type];
  if (draw) return draw(content, type, votes);
  return note('info', content.undecryptable ? t('conversations.undecryptable') : t('conversations.unsupported'));
}

function note(drawing, text) {
  return h('p', { class: 'bubble-note' }, icon(drawing), text);
}

function location({ latitude, longitude, name, address }) {
  const place = [latitude, longitude].map((degrees) => number(degrees, { maximumFractionDigits: 5 })).join(' · ');
  const link = `https://www.openstreetmap.org/?mlat=${Number(latitude)}&mlon=${Number(longitude)}#map=16/${Number(latitude)}/${Number(longitude)}`;
  return h('div', { class: 'bubble-thing' },
    h('strong', {}, name || t('conversations.kind.location')), address && h('span', {}, address), h('span', { class: 'small number' }, place),
    h('a', { href: link, target: '_blank', rel: 'noopener noreferrer' }, t('conversations.location.open')));
}

function contact({ name, phone, vcard = '' }) {
  const inside = (field) => new RegExp(`^${field}[^:\n]*:(.+)$`, 'mi').exec(vcard)?.[1].trim();
  return h('div', { class: 'bubble-thing' },
    h('span', { class: 'small' }, t('conversations.kind.contact')),
    h('strong', {}, name ?? inside('FN') ?? t('conversations.unnamed')),
    h('span', { class: 'number' }, phone ?? inside('(?:item\\d+\\.)?TEL') ?? ''));
}

function poll({ question, options = [] }, _, votes) {
  return h('div', { class: 'bubble-thing' },
    h('span', { class: 'small' }, t('conversations.kind.poll')),
    h('strong', {}, question),
    h('ul', { class: 'poll' }, options.map((option) => h('li', {}, h('span', {}, option),
      h('span', { class: 'number' }, votes[option] ? t('conversations.votes', { count: votes[option] }) : '0')))));
}
