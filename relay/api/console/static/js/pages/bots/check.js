/* The server's opinion of a text, asked a moment after each change; only the newest answer counts.

    checker({name, text, tell, signal}) → {soon(), now()}
        tell({kind: 'checking'})
        tell({kind: 'good', rules, flows, tests})      it can be put in force
        tell({kind: 'mistakes', errors})               [{line, column, path, detail}]
        tell({kind: 'tests', errors})                  it can be read; its own tests fail: [{test, detail}]
        tell({kind: 'unknown', error})                 nobody could say
*/

import { api } from '../../api.js';

const PAUSE_MS = 350;
const BUSY_MS = 2000;
const REFUSED = { rules_invalid: 'mistakes', rules_tests_failed: 'tests' };

export function checker({ name, text, tell, signal }) {
  let timer = null;
  let asking = new AbortController();

  function soon(after = PAUSE_MS) {
    clearTimeout(timer);
    asking.abort();
    tell({ kind: 'checking' });
    timer = setTimeout(now, after);
  }

  async function now() {
    clearTimeout(timer);
    asking.abort();
    asking = new AbortController();
    const mine = asking.signal;
    const options = { type: 'application/yaml', query: { dryRun: true }, signal: mine };
    try {
      const { rules, flows, tests } = await api.put(`rules/${encodeURIComponent(name)}`, text(), options);
      if (!mine.aborted) tell({ kind: 'good', rules, flows, tests });
    } catch (error) {
      if (mine.aborted || error.name === 'AbortError') return;
      if (error.name !== 'ApiError') throw error;
      if (error.code === 'rules_busy' || error.status === 429) soon((error.retryAfterSeconds ?? 0) * 1000 || BUSY_MS);
      else tell(REFUSED[error.code] ? { kind: REFUSED[error.code], errors: error.errors } : { kind: 'unknown', error });
    }
  }

  signal.addEventListener('abort', () => {
    clearTimeout(timer);
    asking.abort();
  }, { once: true });
  return { soon: () => soon(), now };
}
