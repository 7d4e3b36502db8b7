/* badge('good', text) → a pill with a dot; kinds: good, busy (in progress), bad, info, off. Words carry the meaning, not colour.
   tag(text) → a small grey label. */

import { h } from '../dom.js';

export function badge(kind, text) {
  return h('span', { class: `badge ${kind}` }, text);
}

export function tag(text) {
  return h('span', { class: 'tag' }, text);
}
