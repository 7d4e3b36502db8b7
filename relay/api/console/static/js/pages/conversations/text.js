/* words(text) → a text as it was written; addresses in it can be followed. */

import { h } from '../../dom.js';

const LINK = /https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]}']/g;

export function words(text) {
  const parts = [];
  let at = 0;
  for (const { 0: address, index } of text.matchAll(LINK)) {
    parts.push(text.slice(at, index), h('a', { href: address, target: '_blank', rel: 'noopener noreferrer' }, address));
    at = index + address.length;
  }
  return h('p', { class: 'bubble-text', dir: 'auto' }, ...parts, text.slice(at));
}
