/* Relay's API, as the page calls it. Paths are those below /api/v1/: `whatsapp/sessions`.

    await api.get(path, query, options)          JSON as it came, or text when `accept` asks for another type
    await api.post(path, body, options)          body: an object goes as JSON; a File or Blob as its bytes; a string as text
    await api.put(path, body, options)           likewise; for a rule set's YAML: api.put(`rules/${name}`, text, {type: 'application/yaml'})
    await api.patch(path, body, options)
    await api.delete(path, options)
    api.all(path, field, query, options)         async iterator over the pages of a list: each step is one page's array
    api.url(path, query)                         an address for <img>, <audio>, <a download>, EventSource
        options: {query, type, accept, signal, idempotencyKey}

    What the server says to people comes in the language of i18n.js, where it has one.
    Every path is encoded by its caller: `whatsapp/sessions/${encodeURIComponent(id)}` where an id may hold odd letters.
    An operator's chosen company goes along as `companyId` in the query by itself. Bodies that name a company (sessions,
    keys, endpoints, agents, rules/explain) add it: {...api.owner(), name}.

    throws ApiError {status, code, detail, path, errors, retryAfterSeconds}; no connection: status 0, code `unreachable`.
    401 on any call but the sign-in's own ends the shell: api.whenSignedOut(callback).
    newId() → a random text for `idempotencyKey`.
*/

import { ApiError, unreachable } from './errors.js';
import { language } from './i18n.js';

export { ApiError };

const ROOT = new URL('api/v1/', document.baseURI);
// The sign-in's own, which say who is there; and what belongs to no company.
const OF_NOBODY = /^(console\/|admin\/tenants|rules\/schema)/;

let company = null;
let signedOut = () => {};

export const api = {
  get: (path, query, options) => call('GET', path, undefined, { ...options, query }),
  post: (path, body, options) => call('POST', path, body, options),
  put: (path, body, options) => call('PUT', path, body, options),
  patch: (path, body, options) => call('PATCH', path, body, options),
  delete: (path, options) => call('DELETE', path, undefined, options),

  async *all(path, field, query = {}, options = {}) {
    let cursor;
    do {
      const page = await api.get(path, { limit: 200, ...query, cursor }, options);
      yield page[field];
      cursor = page.nextCursor;
    } while (cursor);
  },

  url(path, query = {}) {
    const address = new URL(path, ROOT);
    const given = company && !OF_NOBODY.test(path) ? { companyId: company, ...query } : query;
    for (const [name, value] of Object.entries(given)) {
      if (value !== undefined && value !== null && value !== '') address.searchParams.append(name, value);
    }
    return address.href;
  },

  /** The company that an operator looks at; null: none, or a company's own key. */
  company: () => company,
  choose(companyId) { company = companyId; },
  owner: () => (company ? { companyId: company } : {}),
  whenSignedOut(callback) { signedOut = callback; },
};

export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function call(method, path, body, { query, type, accept = 'application/json', signal, idempotencyKey } = {}) {
  const headers = { Accept: accept, 'Accept-Language': language() };
  if (method !== 'GET') headers['X-Relay-Console'] = '1';
  if (idempotencyKey) headers['Idempotency-Key'] = idempotencyKey;
  const isRaw = typeof body === 'string' || body instanceof Blob;
  const kind = type ?? (body === undefined || body instanceof Blob ? null : isRaw ? 'text/plain' : 'application/json');
  if (kind) headers['Content-Type'] = kind;
  const answer = await reach(api.url(path, query), {
    method, headers, signal, credentials: 'same-origin', cache: 'no-store',
    body: body === undefined || isRaw ? body : JSON.stringify(body),
  });
  if (!answer.ok) throw await refusal(answer, path);
  if (answer.status === 204) return null;
  return /\bjson\b/.test(answer.headers.get('Content-Type') ?? '') ? answer.json() : answer.text();
}

async function reach(address, request) {
  try {
    return await fetch(address, request);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw unreachable();
  }
}

async function refusal(answer, path) {
  const problem = await answer.json().catch(() => ({}));
  if (answer.status === 401 && !path.startsWith('console/')) signedOut();
  return new ApiError({
    ...problem, status: answer.status, code: problem.code ?? `http_${answer.status}`, detail: problem.detail ?? '',
    retryAfterSeconds: Number(answer.headers.get('Retry-After')) || null,
  });
}
