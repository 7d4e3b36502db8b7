/* words(text) → a text as WhatsApp shows it: *bold*, _italic_, ~struck~, `code`; addresses in it can be followed. */

import { h } from '../../dom.js';

const MARKED = new RegExp([
  /(?<link>https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]}'*_~])/,
  /```(?<block>[^`]+)```/,
  /`(?<code>[^`\n]+)`/,
  // Neither inside a word nor around spaces: 2*3*4 and snake_case are what they are.
  /(?<![\p{L}\p{N}])(?<mark>[*_~])(?!\s)(?<inner>(?:(?!\k<mark>)[^\n])+)(?<!\s)\k<mark>(?![\p{L}\p{N}])/,
].map(({ source }) => source).join('|'), 'gu');
const NAMES = { '*': 'strong', _: 'em', '~': 's' };

export function words(text) {
  return h('p', { class: 'bubble-text', dir: 'auto' }, parts(text));
}

function parts(text) {
  const made = [];
  let at = 0;
  for (const { 0: whole, index, groups } of text.matchAll(MARKED)) {
    made.push(text.slice(at, index), part(groups));
    at = index + whole.length;
  }
  return [...made, text.slice(at)];
}

function part({ link, block, code, mark, inner }) {
  if (link) return h('a', { href: link, target: '_blank', rel: 'noopener noreferrer' }, link);
  if (block ?? code) return h('code', {}, block ?? code);
  return h(NAMES[mark], {}, parts(inner));
}
