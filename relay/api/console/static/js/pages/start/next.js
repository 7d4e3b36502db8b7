/* Where to go from here: two cards. */

import { h } from '../../dom.js';
import { t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { href } from '../../routes.js';

export function nextSteps() {
  const card = (target, draw, title, text) => h('a', { class: 'card next', href: target }, icon(draw), h('span', {}, h('strong', {}, title), h('span', { class: 'soft' }, text)));
  return h('section', { class: 'stack' },
    h('h2', {}, t('start.next.title')),
    h('div', { class: 'grid' },
      card(href('sessions'), 'phone', t('start.next.sessions'), t('start.next.sessions.text')),
      card('docs', 'webhook', t('start.next.docs'), t('start.next.docs.text'))));
}
