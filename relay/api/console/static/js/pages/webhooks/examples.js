/* Receivers to copy, one a language: those of docs/webhooks.md, to the letter; a test holds that, and runs them. */

const PYTHON = `import os
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            event = webhook.verify(body, {name.lower(): value for name, value in self.headers.items()})
        except WebhookVerificationError:
            self.send_response(401)
        else:
            print(self.headers["webhook-id"], event["type"], flush=True)
            self.send_response(204)
        self.end_headers()


HTTPServer(("127.0.0.1", 9000), Receiver).serve_forever()
`;

const NODE = `import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const key = Buffer.from(process.env.WEBHOOK_SECRET.replace(/^whsec_/, ""), "base64");

function isGenuine(headers, body) {
  const sentAt = headers["webhook-timestamp"];
  if (!(Math.abs(Date.now() / 1000 - Number(sentAt)) < 300)) return false;
  const hmac = createHmac("sha256", key).update(\`\${headers["webhook-id"]}.\${sentAt}.\`).update(body);
  const expected = Buffer.from("v1," + hmac.digest("base64"));
  return (headers["webhook-signature"] ?? "").split(" ").some((each) => {
    const given = Buffer.from(each);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  if (!isGenuine(request.headers, body)) return response.writeHead(401).end();
  console.log(request.headers["webhook-id"], JSON.parse(body).type);
  response.writeHead(204).end();
}).listen(9000, "127.0.0.1");
`;

const PHP = `<?php
$key = base64_decode(preg_replace('/^whsec_/', '', getenv('WEBHOOK_SECRET')));
$body = file_get_contents('php://input');
$id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
$sentAt = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
$expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$sentAt.$body", $key, true));

$isGenuine = false;
foreach (explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '') as $given) {
    $isGenuine = $isGenuine || hash_equals($expected, $given);
}
if (!$isGenuine || !ctype_digit($sentAt) || abs(time() - (int) $sentAt) > 300) {
    http_response_code(401);
    exit;
}
$event = json_decode($body, true);
error_log($id . ' ' . $event['type']);
http_response_code(204);
`;

export const EXAMPLES = [
  { name: 'Python', code: PYTHON, needs: 'pip install standardwebhooks' },
  { name: 'JavaScript', code: NODE },
  { name: 'PHP', code: PHP },
];
