/* pageHeader({title, text, actions}) → the head of a page: its <h1>, a sentence below it, its main buttons (an array). */

import { h } from '../dom.js';

export function pageHeader({ title, text, actions = [] }) {
  return h('div', { class: 'page-head' },
    h('div', {}, h('h1', { tabindex: '-1' }, title), text && h('p', {}, text)),
    actions.length > 0 && h('div', { class: 'row' }, actions));
}
