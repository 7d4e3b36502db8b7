/* The messages of one chat, oldest first, as far back as somebody looked; kept up to date by events.

    newest page ──► messages ◄── older(), as one scrolls up
                       ▲  ▲
                       │  └── message.status, edited, revoked, media: changed in place
                       └───── anything else that happened in the chat: the newest page once more, as far as what is known

    history.messages                 what is shown as a bubble; history.start: nothing is older
    history.version                  another one, when messages that were there may look otherwise
    history.about(message)           {reactions: [{emoji, times}], mine: one's own emoji, votes: {option: count}, replied: message | null}
    await history.find(id)           → the message, however long ago (ids of WhatsApp, too); null when it is too long ago, or gone
    await history.older(), look(), fetch(id)   onChange(arrived) is called after every change: arrived are messages new at the end
*/

import { api } from '../../api.js';

const PAGE = 50;
const OLDER_PAGE = 200;
const MOST_PAGES = 20;
const MOST_PAGES_BACK = 100;
const GAP_MS = 200;
const US = 'us';
const HIDDEN = new Set(['reaction', 'poll_vote']);
const STATUSES = ['received', 'queued', 'sending', 'unknown', 'failed', 'sent', 'delivered', 'read'];

export class History {
  constructor({ sessionId, chat }, { signal, onChange }) {
    Object.assign(this, { sessionId, chat, signal, onChange });
    this.known = new Map(); // id → message, reactions and votes included
    this.ids = [];
    this.messages = [];
    this.reactions = new Map(); // waMessageId → person → emoji
    this.votes = new Map();
    this.byWaId = new Map();
    this.cursor = null;
    this.start = false;
    this.version = 0;
  }

  async open() {
    const { messages, nextCursor } = await this.page();
    this.cursor = nextCursor;
    this.start = !nextCursor;
    this.put(messages);
  }

  async older() {
    if (this.start) return;
    const { messages, nextCursor } = await this.page(this.cursor, OLDER_PAGE);
    this.cursor = nextCursor;
    this.start = !nextCursor;
    this.put(messages);
  }

  /** One look at a time; what happens meanwhile is another. */
  async look() {
    this.again = true;
    if (this.looking) return;
    this.looking = true;
    try {
      while (this.again) {
        this.again = false;
        await tried(() => this.catchUp());
        if (this.again) await new Promise((go) => { setTimeout(go, GAP_MS); });
      }
    } finally {
      this.looking = false;
    }
  }

  async catchUp() {
    const found = [];
    let cursor;
    for (let pages = 0; pages < MOST_PAGES; pages += 1) {
      const page = await this.page(cursor);
      found.push(...page.messages);
      cursor = page.nextCursor;
      if (!cursor || page.messages.some(({ id }) => this.known.has(id))) break;
    }
    this.put(found);
  }

  page(cursor, limit = PAGE) {
    return api.get('whatsapp/messages', { sessionId: this.sessionId, chat: this.chat, limit, cursor }, { signal: this.signal });
  }

  fetch(id) {
    return tried(async () => this.put([await api.get(`whatsapp/messages/${id}`, {}, { signal: this.signal })]));
  }

  /** An event of this chat. */
  hear(type, data, timestamp) {
    const message = this.known.get(data.messageId);
    const changed = message && CHANGES[type]?.(message, data, timestamp);
    if (changed) this.put([changed]);
    else if (message) this.fetch(message.id);
    else this.look();
  }

  put(messages) {
    const last = this.messages.at(-1)?.id ?? '';
    const fresh = messages.filter(({ id }) => !this.known.has(id));
    for (const message of messages) {
      const { id, waMessageId } = message;
      this.known.set(id, forward(this.known.get(id), message));
      if (waMessageId) this.byWaId.set(waMessageId, id);
    }
    if (fresh.length) this.order(fresh.map(({ id }) => id).sort());
    // What is new at the end changes nothing of what is there.
    if (fresh.length < messages.length || messages.some(({ id, type }) => id < last || HIDDEN.has(type))) this.version += 1;
    this.messages = this.ids.map((id) => this.known.get(id)).filter(({ type }) => !HIDDEN.has(type));
    if (messages.some(({ type }) => HIDDEN.has(type))) this.gather();
    this.onChange(last ? this.messages.filter(({ id }) => id > last) : []);
  }

  order(fresh) {
    const isNewer = fresh[0] > (this.ids.at(-1) ?? '');
    this.ids = isNewer ? [...this.ids, ...fresh] : [...this.known.keys()].sort();
  }

  /** The latest reaction, and vote, of each person about each message. */
  gather() {
    this.reactions = new Map();
    this.votes = new Map();
    for (const id of this.ids) {
      const { type, content, direction, from, status } = this.known.get(id);
      if (!HIDDEN.has(type) || status === 'failed') continue;
      const about = type === 'reaction' ? this.reactions : this.votes;
      const target = content.waMessageId;
      if (!about.has(target)) about.set(target, new Map());
      const person = direction === 'outgoing' ? US : from?.contactId ?? from?.pn ?? from?.lid;
      about.get(target).set(person, type === 'reaction' ? content.emoji : content.options ?? []);
    }
  }

  about({ waMessageId, replyTo }) {
    const said = count([...(this.reactions.get(waMessageId)?.values() ?? [])].filter(Boolean));
    return {
      mine: this.reactions.get(waMessageId)?.get(US),
      reactions: [...said].map(([emoji, times]) => ({ emoji, times })),
      votes: Object.fromEntries(count([...(this.votes.get(waMessageId)?.values() ?? [])].flat())),
      replied: (replyTo && this.known.get(this.byWaId.get(replyTo) ?? replyTo)) || null,
    };
  }

  async find(id) {
    // Relay's own ids go by time: one sees whether it is further back.
    const isOwn = id.startsWith('msg_');
    for (let pages = 0; pages < (isOwn ? MOST_PAGES_BACK : MOST_PAGES); pages += 1) {
      const found = this.known.get(this.byWaId.get(id) ?? id);
      if (found || this.start || (isOwn && this.ids[0] < id)) return found ?? null;
      await this.older();
    }
    return null;
  }
}

/** What is on show stays when it fails; the next look may do better. */
async function tried(work) {
  try {
    await work();
  } catch (error) {
    if (error.name !== 'AbortError' && error.name !== 'ApiError') throw error;
  }
}

const CHANGES = {
  'message.status': (message, { status, error, waMessageId }) => ({ ...message, status, error, waMessageId: waMessageId ?? message.waMessageId }),
  'message.edited': (message, { content }, at) => ({ ...message, content, editedAt: at }),
  'message.revoked': (message, _, at) => ({ ...message, revokedAt: at }),
  'message.media': (message, { mediaId, status, error, mimetype, sizeBytes }) => ({
    ...message, content: { ...message.content, mediaId, mediaStatus: status, mediaError: error, mimetype, sizeBytes },
  }),
};

/** An answer that was on its way while the message moved does not put it back. */
function forward(before, now) {
  const isLater = !before || STATUSES.indexOf(now.status) >= STATUSES.indexOf(before.status);
  return isLater ? now : { ...now, status: before.status, error: before.error };
}

function count(words) {
  const found = new Map();
  for (const word of words) found.set(word, (found.get(word) ?? 0) + 1);
  return found;
}
