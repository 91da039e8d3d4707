// fhirclient 2.6, unmodified, in Chromium: a SMART standalone launch from a page on loopback, through sign-in,
// patient picker and consent, to laboratory results, a refresh, and results again. Prints one line of JSON.
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { SCOPE, LABS, told } from '../lib/walk.mjs';
import { browser, look } from './chromium.mjs';

const { demo, user, client } = told();
const library = createRequire(import.meta.url).resolve('fhirclient/build/fhir-client.js');
const query = `Observation?category=${encodeURIComponent(LABS.split('category=')[1])}&_count=20`;

const html = (script) =>
  `<!doctype html><html lang="en"><title>An app</title><h1>An app</h1><script src="/fhir-client.js"></script><script>${script}</script></html>`;
const pages = {
  '/launch': html(
    `FHIR.oauth2.authorize(${JSON.stringify({
      iss: demo.fhir_base,
      clientId: client.client_id,
      scope: SCOPE,
      redirectUri: '/callback',
      pkceMode: 'required',
    })}).catch((error) => { window.result = { error: String(error) }; });`,
  ),
  '/callback': html(`
    (async () => {
      const client = await FHIR.oauth2.ready();
      const labs = async () => (await client.request(${JSON.stringify(query)}, { pageLimit: 0, flat: true })).map((one) => one.id);
      const first = await labs();
      const { access_token, scope, patient } = client.state.tokenResponse;
      await client.refresh();
      const again = client.state.tokenResponse;
      return {
        scope, patient, fhir_user: client.user.fhirUser,
        scope_refreshed: again.scope, patient_refreshed: again.patient,
        new_access_token: again.access_token !== access_token,
        labs: first, labs_refreshed: await labs(),
      };
    })().then((result) => { window.result = result; }, (error) => { window.result = { error: String(error) }; });`),
};
const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://loopback');
  const body = pathname === '/fhir-client.js' ? readFileSync(library) : pages[pathname];
  response.writeHead(body ? 200 : 404, { 'content-type': pathname.endsWith('.js') ? 'text/javascript' : 'text/html' });
  response.end(body);
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const app = `http://127.0.0.1:${server.address().port}`;

const chromium = await browser(demo);
const faults = [];
const shots = [];
try {
  const context = await chromium.newContext({ locale: 'en-US' });
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  const ours = [new URL(demo.issuer).origin, app];
  page.on('request', (request) => {
    const { protocol, origin } = new URL(request.url());
    if (protocol.startsWith('http') && !ours.includes(origin)) faults.push(`a request left for ${origin}`);
  });
  page.on('console', (message) => {
    // The browser looks for an icon by itself.
    if (message.type() === 'error' && !message.location().url.endsWith('/favicon.ico')) faults.push(`console: ${message.text()} (${message.location().url.split('?')[0]})`);
  });
  page.on('pageerror', (error) => faults.push(`script: ${error}`));

  const shoot = async (name) => {
    shots.push(name);
    await look(page, `${user.username}-${name}`, faults);
  };
  /** Which of the server's pages this is, once it has settled. */
  const stage = async () => {
    await page.waitForLoadState('load');
    if (page.url().startsWith(`${app}/callback`)) return 'app';
    for (const [name, control] of [['sign-in', 'username'], ['patient', 'patient'], ['consent', 'decision']]) {
      if (await page.locator(`[name=${control}]`).count()) return name;
    }
    return 'unknown';
  };

  await page.goto(`${app}/launch`);
  await page.waitForURL((url) => url.origin !== app || url.pathname !== '/launch');
  let wrong = false;
  walk: for (let step = 0; step < 12; step += 1) {
    const name = await stage();
    switch (name) {
      case 'app':
        break walk;
      case 'sign-in':
        await shoot(wrong ? 'sign-in-refused' : 'sign-in');
        await page.fill('[name=username]', user.username);
        // Once wrongly, to see what a person sees then.
        await page.fill('[name=password]', wrong ? user.password : 'not my password');
        wrong = true;
        await Promise.all([page.waitForEvent('load'), page.press('[name=password]', 'Enter')]);
        break;
      case 'patient': {
        await shoot('patient');
        const wanted = process.env.PHIWARD_PATIENT;
        const named = page.locator(`[name=patient][value$="${wanted}"]`).first();
        const [tag, type] = await named.evaluate((one) => [one.tagName, one.type]);
        if (tag === 'BUTTON' || type === 'submit') {
          await Promise.all([page.waitForEvent('load'), named.click()]);
        } else {
          if (type === 'radio') await named.check();
          await Promise.all([page.waitForEvent('load'), page.locator('form:has([name=patient]) [type=submit], form:has([name=patient]) button:not([type])').first().click()]);
        }
        break;
      }
      case 'consent':
        await shoot('consent');
        await Promise.all([page.waitForEvent('load'), page.locator('[name=decision][value=approve]').click()]);
        break;
      default:
        throw new Error(`stuck at ${page.url().split('?')[0]}: ${await page.content()}`);
    }
  }
  await page.waitForFunction(() => window.result);
  const result = await page.evaluate(() => window.result);

  // What a person sees when an app sends them with a redirect URI nobody registered.
  const bad = new URLSearchParams({ response_type: 'code', client_id: client.client_id, redirect_uri: 'https://attacker.example/', scope: LABS });
  await page.goto(`${demo.issuer}/oauth/authorize?${bad}`).catch((error) => faults.push(String(error)));
  if (!page.url().startsWith(demo.issuer)) faults.push('an unregistered redirect URI was followed');
  // A refusal's status is an error on the console: that one is meant.
  for (let index = faults.length - 1; index >= 0; index -= 1) if (/status of 4\d\d/.test(faults[index])) faults.splice(index, 1);
  await shoot('error');
  console.log(JSON.stringify({ ...result, shots, faults }));
} finally {
  await chromium.close();
  server.close();
}
