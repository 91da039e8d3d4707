// openid-client 6, unmodified: discovery, code + PKCE, ID token, userinfo, reading labs, refresh, reading again;
// a confidential client also asks about its token and revokes it. Prints one line of JSON.
import * as oidc from 'openid-client';
import { SCOPE, LABS, told, walk } from '../lib/walk.mjs';

const { demo, user, client } = told();
const authentication = client.client_secret ? oidc.ClientSecretBasic(client.client_secret) : oidc.None();
const config = await oidc.discovery(new URL(demo.issuer), client.client_id, undefined, authentication);

const pkceCodeVerifier = oidc.randomPKCECodeVerifier();
const state = oidc.randomState();
const nonce = oidc.randomNonce();
const url = oidc.buildAuthorizationUrl(config, {
  redirect_uri: client.redirect_uri,
  scope: SCOPE,
  aud: demo.fhir_base,
  state,
  nonce,
  code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
  code_challenge_method: 'S256',
});
const back = await walk(url, client.redirect_uri, user);
const tokens = await oidc.authorizationCodeGrant(config, back, {
  pkceCodeVerifier,
  expectedState: state,
  expectedNonce: nonce,
  idTokenExpected: true,
});
const claims = tokens.claims();
const userinfo = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub);

/** Every laboratory result, page by page. */
async function labs(accessToken) {
  const ids = [];
  const category = encodeURIComponent(LABS.split('category=')[1]);
  let next = `${demo.fhir_base}/Observation?category=${category}&_count=20`;
  while (next) {
    const response = await oidc.fetchProtectedResource(config, accessToken, new URL(next), 'GET');
    if (response.status !== 200) throw new Error(`labs: ${response.status} ${await response.text()}`);
    const bundle = await response.json();
    ids.push(...(bundle.entry ?? []).map((entry) => entry.resource.id));
    next = bundle.link?.find((link) => link.relation === 'next')?.url;
  }
  return ids;
}

const first = await labs(tokens.access_token);
const refreshed = await oidc.refreshTokenGrant(config, tokens.refresh_token);
const second = await labs(refreshed.access_token);

let introspection;
let afterRevocation;
if (client.client_secret) {
  introspection = await oidc.tokenIntrospection(config, refreshed.access_token);
  await oidc.tokenRevocation(config, refreshed.refresh_token ?? tokens.refresh_token);
  // A refusal carries a challenge, which the library turns into an error.
  afterRevocation = await oidc
    .fetchProtectedResource(config, refreshed.access_token, new URL(`${demo.fhir_base}/Observation`), 'GET')
    .then((response) => response.status, (error) => error.status);
}
console.log(
  JSON.stringify({
    scope: tokens.scope,
    scope_refreshed: refreshed.scope,
    patient: tokens.patient,
    patient_refreshed: refreshed.patient,
    sub: claims.sub,
    userinfo_sub: userinfo.sub,
    fhir_user: claims.fhirUser,
    rotated: Boolean(refreshed.refresh_token) && refreshed.refresh_token !== tokens.refresh_token,
    labs: first,
    labs_refreshed: second,
    introspection,
    after_revocation: afterRevocation,
  }),
);
