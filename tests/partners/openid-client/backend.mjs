// openid-client 6, unmodified, as a SMART backend service: client credentials with private_key_jwt. Prints one line of JSON.
import { readFileSync } from 'node:fs';
import * as oidc from 'openid-client';
import { told } from '../lib/walk.mjs';

const { demo, client } = told();
const jwk = JSON.parse(readFileSync(client.jwk_file, 'utf8'));
const algorithm = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  ES384: { name: 'ECDSA', namedCurve: 'P-384' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
  RS384: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-384' },
}[jwk.alg ?? { 'P-256': 'ES256', 'P-384': 'ES384' }[jwk.crv]];
const { key_ops: _, use: __, ...plain } = jwk;
const key = await crypto.subtle.importKey('jwk', plain, algorithm, false, ['sign']);
const config = await oidc.discovery(
  new URL(demo.issuer),
  client.client_id,
  undefined,
  oidc.PrivateKeyJwt({ key, kid: jwk.kid }),
);

const tokens = await oidc.clientCredentialsGrant(config, { scope: 'system/Observation.rs' });
const url = new URL(`${demo.fhir_base}/Observation?_count=200`);
const answer = await oidc.fetchProtectedResource(config, tokens.access_token, url, 'GET');
const bundle = await answer.json();
// Beyond its registration: no part of it is granted.
const beyond = await oidc
  .clientCredentialsGrant(config, { scope: 'system/Observation.rs system/Condition.rs' })
  .then(() => 'granted', (error) => error.error);
console.log(
  JSON.stringify({
    scope: tokens.scope,
    expires_in: tokens.expires_in,
    refresh_token: 'refresh_token' in tokens,
    status: answer.status,
    subjects: (bundle.entry ?? []).map((entry) => entry.resource.subject?.reference),
    beyond,
  }),
);
