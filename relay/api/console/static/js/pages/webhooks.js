/* Webhooks: where the company's events go, how that is going, and what to do about it.

    #/webhooks              every endpoint with its health              webhooks/list.js
    #/webhooks/ep_…         one endpoint and its deliveries             webhooks/detail.js
    #/webhooks/signature    how a receiver checks what arrives          webhooks/signature.js
*/

import { showDetail } from './webhooks/detail.js';
import { showList } from './webhooks/list.js';
import { showSignature } from './webhooks/signature.js';

export default {
  async show(container, { params, who, signal }) {
    const context = { who, signal };
    if (params.id === 'signature') showSignature(container);
    else if (params.id) await showDetail(container, params.id, context);
    else await showList(container, context);
  },
};
