/* Names of groups, which the list of chats does not have: each session is asked once for all of its groups.

    const names = new GroupNames({signal, onName()})
        names.ask(chats)      for groups without a name; onName() once there are more
        names.find(chat)      → a name, or null
        names.retry(sessionId)      it is connected again: what could not be had may be had now

A session that is away, or an engine that knows of no groups, is asked no second time.
*/

import { api } from '../../api.js';

export class GroupNames {
  constructor({ signal, onName }) {
    Object.assign(this, { signal, onName });
    this.names = new Map(); // 'ses_… …@g.us' → name
    this.asked = new Set();
  }

  ask(chats) {
    const unnamed = chats.filter(({ chatType, name }) => chatType === 'group' && !name);
    for (const sessionId of new Set(unnamed.map((chat) => chat.sessionId))) {
      if (!this.asked.has(sessionId)) this.load(sessionId);
    }
  }

  async load(sessionId) {
    this.asked.add(sessionId);
    try {
      const { groups } = await api.get(`whatsapp/sessions/${sessionId}/groups`, {}, { signal: this.signal });
      for (const { jid, name } of groups) this.names.set(`${sessionId} ${jid}`, name);
      if (groups.length) this.onName();
    } catch (error) {
      if (error.name !== 'AbortError' && error.name !== 'ApiError') throw error;
    }
  }

  find({ sessionId, chat }) {
    return this.names.get(`${sessionId} ${chat}`) || null;
  }

  retry(sessionId) {
    this.asked.delete(sessionId);
  }
}
