/* What goes wrong between the page and its server, as sentence() of i18n.js says it.

    throw new ApiError({status, code, detail, path, errors, retryAfterSeconds})     a refusal
    throw unreachable()                                                             no connection: status 0
*/

export class ApiError extends Error {
  constructor({ status, code, detail, path = null, errors = [], retryAfterSeconds = null }) {
    super(detail);
    Object.assign(this, { name: 'ApiError', status, code, detail, path, errors, retryAfterSeconds });
  }
}

export function unreachable() {
  return new ApiError({ status: 0, code: 'unreachable', detail: '' });
}
