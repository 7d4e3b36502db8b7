/* A chat's messages on the page: of thousands, those around what one looks at have elements.

    log.show(messages, version)      all that are known, oldest first; where one reads stays where it is, and who is at the end stays there
    log.toEnd(), toMessage(id), fromUnread(id, count)      unread: those from this one on, with a line above them
        draw(message)         → {element, update(message)}
        older()               async: asked for when one comes near the beginning
        onEnd(atEnd)          whether the newest message is on show

    messages  [ ········· from ▓▓▓▓ what has elements ▓▓▓▓ to ······ ]
*/

import { h, replace } from '../../dom.js';
import { date, t } from '../../i18n.js';

const MOST = 160;
const STEP = 80;
const NEAR_PIXELS = 700;
const END_PIXELS = 48;
const UNREAD_PIXELS = 24;

export class Log {
  constructor({ label, draw, older, hasOlder, onEnd, signal }) {
    Object.assign(this, { draw, older, hasOlder, onEnd });
    this.messages = [];
    this.version = 0;
    this.rows = new Map(); // id, or 'day …', 'unread …' → {element, update}
    this.from = 0;
    this.to = 0;
    this.atEnd = true;
    this.lastTop = 0;
    this.unread = null; // {id, count}
    this.current = null; // whose menu Tab comes to; arrows go on from there
    this.beginning = h('li', { class: 'log-start small soft' });
    this.list = h('ol', { class: 'log-list' });
    this.element = h('div', { class: 'log', role: 'group', tabindex: '0', 'aria-label': label }, this.list);
    this.element.addEventListener('scroll', () => this.scrolled(), { passive: true, signal });
    this.element.addEventListener('keydown', (event) => this.key(event), { signal });
    this.list.addEventListener('focusin', ({ target }) => { if (target.matches('.bubble-more')) this.rove(target); }, { signal });
    const watch = new ResizeObserver(() => { if (this.atEnd) this.bottom(); });
    watch.observe(this.list);
    watch.observe(this.element);
    signal.addEventListener('abort', () => watch.disconnect(), { once: true });
  }

  show(messages, version = this.version) {
    this.version = version;
    const first = this.messages[this.from]?.id;
    const hadLast = this.to === this.messages.length;
    const shown = this.to - this.from;
    this.messages = messages;
    if (this.atEnd || !first) {
      this.to = messages.length;
      this.from = Math.max(0, this.to - MOST);
    } else {
      this.from = Math.max(0, messages.findIndex(({ id }) => id === first));
      this.to = Math.min(messages.length, hadLast && shown < MOST ? this.from + MOST : this.from + shown);
    }
    this.render();
  }

  toEnd() {
    this.atEnd = true;
    this.show(this.messages);
    this.onEnd(true);
  }

  toMessage(id) {
    const at = this.messages.findIndex((message) => message.id === id);
    if (at < 0) return;
    this.setEnd(false);
    if (at < this.from || at >= this.to) this.move(Math.min(at - STEP, this.messages.length - MOST));
    const { element } = this.rows.get(id);
    element.scrollIntoView({ block: 'center' });
    element.setAttribute('tabindex', '-1');
    element.focus({ preventScroll: true });
    element.classList.add('found');
    element.addEventListener('animationend', () => element.classList.remove('found'), { once: true });
  }

  fromUnread(id, count) {
    this.unread = { id, count };
    this.render();
    const { element } = this.rows.get(`unread ${id}`);
    const top = element.offsetTop - UNREAD_PIXELS;
    if (this.element.scrollHeight - top <= this.element.clientHeight) return;
    this.atEnd = false;
    this.element.scrollTop = top;
    this.lastTop = top;
    this.onEnd(false);
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    const left = scrollHeight - scrollTop - clientHeight;
    // Who is at the end leaves it by scrolling up; a box that becomes smaller takes nobody away.
    const wentUp = scrollTop < this.lastTop - 1;
    this.lastTop = scrollTop;
    this.setEnd(this.to === this.messages.length && (left < END_PIXELS || (this.atEnd && !wentUp)));
    if (scrollTop < NEAR_PIXELS) this.up();
    else if (left < NEAR_PIXELS && this.to < this.messages.length) this.move(this.from + STEP);
  }

  setEnd(atEnd) {
    if (atEnd === this.atEnd) return;
    this.atEnd = atEnd;
    this.onEnd(atEnd);
  }

  async up() {
    if (this.from > 0) {
      this.move(this.from - STEP);
    } else if (this.hasOlder() && !this.asking) {
      this.asking = true;
      try {
        await this.older();
      } finally {
        this.asking = false;
      }
      if (this.from > 0 && this.element.scrollTop < NEAR_PIXELS) this.move(this.from - STEP);
    }
  }

  move(from) {
    this.from = Math.max(0, from);
    this.to = Math.min(this.messages.length, this.from + MOST);
    this.render();
  }

  render() {
    const anchor = this.atEnd ? null : this.anchor();
    const before = this.rows;
    this.rows = new Map();
    const elements = [this.from === 0 ? this.sayBeginning() : null];
    let day = null;
    for (const message of this.messages.slice(this.from, this.to)) {
      const name = new Date(message.sentAt).toDateString();
      if (name !== day) elements.push(this.settle(before, `day ${message.id}`, () => dayRow(message.sentAt)));
      day = name;
      if (message.id === this.unread?.id) elements.push(this.settle(before, `unread ${message.id}`, () => unreadRow(this.unread.count)));
      elements.push(this.settle(before, message.id, () => this.draw(message), message));
    }
    place(this.list, elements.filter(Boolean));
    this.rove(this.list.querySelector(`[data-id="${this.current}"] .bubble-more:not([hidden])`) ?? this.menus().at(-1));
    if (this.atEnd) this.bottom();
    else if (anchor?.element.isConnected) this.element.scrollTop = anchor.element.offsetTop - anchor.below;
    const { scrollHeight, clientHeight } = this.element;
    if (clientHeight > 0 && scrollHeight <= clientHeight) this.up();
  }

  settle(before, key, make, message) {
    const row = before.get(key) ?? make();
    if (message && (row.version !== this.version)) row.update(message);
    row.version = this.version;
    this.rows.set(key, row);
    return row.element;
  }

  sayBeginning() {
    return replace(this.beginning, this.hasOlder() ? t('conversations.older') : t('conversations.beginning'));
  }

  /** The first message that is seen, and how far below the upper edge it begins; a day's line may go when older ones come. */
  anchor() {
    const { scrollTop } = this.element;
    for (const [key, { element }] of this.rows) {
      if (!key.includes(' ') && element.offsetTop + element.offsetHeight > scrollTop) return { element, below: element.offsetTop - scrollTop };
    }
    return null;
  }

  menus() {
    return [...this.list.querySelectorAll('.bubble-more:not([hidden])')];
  }

  /** Of all menus one is on Tab's way. */
  rove(button) {
    for (const other of this.list.querySelectorAll('.bubble-more[tabindex="0"]')) if (other !== button) other.setAttribute('tabindex', '-1');
    button?.setAttribute('tabindex', '0');
    this.current = button?.closest('.bubble').dataset.id ?? null;
  }

  key(event) {
    if (!event.target.matches('.bubble-more')) return;
    const menus = this.menus();
    const at = menus.indexOf(event.target);
    const next = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: menus.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    menus[next]?.focus();
  }

  bottom() {
    this.element.scrollTop = this.element.scrollHeight;
    this.lastTop = this.element.scrollTop;
  }
}

function dayRow(instant) {
  return { element: h('li', { class: 'log-day' }, h('span', {}, dayName(instant))) };
}

function unreadRow(count) {
  return { element: h('li', { class: 'log-unread' }, h('span', {}, t('conversations.unreadHere', { count }))) };
}

function dayName(instant) {
  const day = new Date(instant).toDateString();
  const now = new Date();
  if (day === now.toDateString()) return t('conversations.today');
  now.setDate(now.getDate() - 1);
  return day === now.toDateString() ? t('conversations.yesterday') : date(instant);
}

/** Puts the list's elements in this order, and moves none that is in its place: a voice note goes on playing. */
function place(list, elements) {
  const wanted = new Set(elements);
  for (const old of [...list.children]) if (!wanted.has(old)) old.remove();
  let next = list.firstElementChild;
  for (const element of elements) {
    if (element === next) next = next.nextElementSibling;
    else list.insertBefore(element, next);
  }
}
