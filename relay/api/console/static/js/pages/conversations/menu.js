/* The menu of a message: a handful of emojis, and what may be done with it.

    openMenu(anchor, {actions, mine, choose(action, emoji), signal})
        actions  names as actions.js gives them; mine: the emoji that one has given it, or undefined
    It closes by itself: Esc, a press elsewhere; the focus is then where it was. Arrows go through it.
*/

import { h } from '../../dom.js';
import { t } from '../../i18n.js';
import { icon } from '../../icons.js';

const EMOJIS = ['👍', '❤️', '😂', '😮', '😢', '🙏'];
const DRAWN = { reply: 'reply', copy: 'copy', edit: 'edit', delete: 'trash', unreact: 'close' };
const EDGE_PIXELS = 8;
const STEPS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };

export function openMenu(anchor, { actions, mine, choose, signal }) {
  const press = (...chosen) => () => { menu.hidePopover(); choose(...chosen); };
  const emojis = actions.includes('react') && (mine && !EMOJIS.includes(mine) ? [...EMOJIS, mine] : EMOJIS);
  const named = actions.flatMap((name) => (name === 'react' ? (mine ? ['unreact'] : []) : [name]));
  const menu = h('div', { popover: 'auto', role: 'menu', class: 'message-menu', 'aria-label': t('conversations.menu'), onkeydown: (event) => move(menu, event) },
    emojis && h('div', { role: 'group', class: 'menu-emojis', 'aria-label': t('conversations.react') }, emojis.map((emoji) => h('button', {
      type: 'button', role: 'menuitemradio', class: 'quiet', tabindex: '-1', 'aria-checked': String(emoji === mine), onclick: press('react', emoji === mine ? '' : emoji),
    }, emoji))),
    named.map((name) => h('button', {
      type: 'button', role: 'menuitem', class: name === 'delete' ? 'quiet bad' : 'quiet', tabindex: '-1',
      onclick: name === 'unreact' ? press('react', '') : press(name),
    }, icon(DRAWN[name]), t(`conversations.do.${name}`))));
  menu.addEventListener('toggle', ({ newState }) => {
    if (newState !== 'closed') return;
    menu.remove();
    anchor.setAttribute('aria-expanded', 'false');
  });
  signal.addEventListener('abort', () => menu.remove(), { once: true });
  document.body.append(menu);
  menu.showPopover();
  anchor.setAttribute('aria-expanded', 'true');
  beside(anchor, menu);
  menu.querySelector('button').focus();
}

/** Below the button, or above it where there is no room. */
function beside(anchor, menu) {
  const { left, right, top, bottom } = anchor.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  const x = left + width > innerWidth - EDGE_PIXELS ? right - width : left;
  const y = bottom + height > innerHeight - EDGE_PIXELS ? top - height : bottom;
  menu.style.left = `${Math.max(EDGE_PIXELS, x)}px`;
  menu.style.top = `${Math.max(EDGE_PIXELS, y)}px`;
}

function move(menu, event) {
  const buttons = [...menu.querySelectorAll('button')];
  const at = buttons.indexOf(document.activeElement);
  const next = { Home: 0, End: buttons.length - 1 }[event.key] ?? (event.key in STEPS ? (at + STEPS[event.key] + buttons.length) % buttons.length : null);
  if (event.key === 'Tab') menu.hidePopover();
  if (next === null) return;
  event.preventDefault();
  buttons[next].focus();
}
