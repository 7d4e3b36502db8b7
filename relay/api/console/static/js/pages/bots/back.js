/* The way back to the list, above one of it; and what is shown where the address is of none.

    back('rules')                                     the link
    await orGone(container, 'rules', work)            what work() gave; undefined where the server said 404, which is on show by then
*/

import { h, replace } from '../../dom.js';
import { t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { failed } from '../../parts/states.js';
import { href } from '../../routes.js';

const LISTS = { rules: [null, 'bots.back'], agents: ['agents', 'bots.agents.back'] };

export function back(list) {
  const [tab, words] = LISTS[list];
  return h('p', { class: 'bot-back' }, h('a', { href: href('bots', tab) }, icon('left'), t(words)));
}

export async function orGone(container, list, work) {
  try {
    return await work();
  } catch (error) {
    if (error.status !== 404) throw error;
    replace(container, back(list), h('h1', { class: 'visually-hidden', tabindex: '-1' }, t('bots.title')), failed(error));
    return undefined;
  }
}
