// A person without scripts: follows an authorization URL through sign-in, patient picker and consent,
// filling in plain forms, until the server redirects to the app. Also what every journey is told.

/** The demo's line of JSON and who walks: PHIWARD_DEMO, PHIWARD_USER, PHIWARD_CLIENT. */
export function told() {
  const demo = JSON.parse(process.env.PHIWARD_DEMO);
  const user = demo.users.find((one) => one.username === process.env.PHIWARD_USER);
  const client = demo.clients.find((one) => one.client_id === process.env.PHIWARD_CLIENT);
  return { demo, user, client };
}

export const LABS =
  'patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory';
export const SCOPE = `openid fhirUser offline_access launch/patient ${LABS}`;

const unescape = (text) =>
  text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(amp|lt|gt|quot|apos));/gi, (_, hex, number, name) =>
    name
      ? { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }[name.toLowerCase()]
      : String.fromCodePoint(hex ? parseInt(hex, 16) : Number(number)),
  );

function attributes(text) {
  const found = {};
  for (const [, name, double, single, bare] of text.matchAll(/([^\s=/>]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+)))?/g)) {
    found[name.toLowerCase()] = unescape(double ?? single ?? bare ?? '');
  }
  return found;
}

/** The forms of a page: { action, method, controls: [{ name, type, value, checked }] }. */
export function forms(html) {
  const plain = html.replace(/<!--[\s\S]*?-->/g, '');
  return [...plain.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)].map(([, head, body]) => {
    const { action = '', method = 'get' } = attributes(head);
    const controls = [];
    let select;
    for (const [, tag, rest] of body.matchAll(/<(\/?(?:input|button|select|option))\b((?:"[^"]*"|'[^']*'|[^>"'])*)>/gi)) {
      const own = attributes(rest);
      const kind = tag.toLowerCase();
      if (kind === 'select') select = own.name;
      if (kind === '/select') select = undefined;
      const name = kind === 'option' ? select : own.name;
      if (!name || kind.startsWith('/') || kind === 'select' || 'disabled' in own) continue;
      const type = kind === 'option' ? 'option' : (own.type ?? (kind === 'button' ? 'submit' : 'text')).toLowerCase();
      controls.push({ name, type, value: own.value ?? (type === 'checkbox' ? 'on' : ''), checked: 'checked' in own || 'selected' in own });
    }
    return { action, method: method.toLowerCase(), controls };
  });
}

/** Fills in a form it knows: the entries to send, or undefined. */
function fill(form, user) {
  const names = new Set(form.controls.map((control) => control.name));
  const values = form.controls
    .filter(({ type, checked }) => (['checkbox', 'radio', 'option'].includes(type) ? checked : !['submit', 'button'].includes(type)))
    .map(({ name, value }) => [name, value]);
  const set = (name, value) => [...values.filter(([known]) => known !== name), [name, value]];
  if (names.has('username')) {
    return set('username', user.username).filter(([name]) => name !== 'password').concat([['password', user.password]]);
  }
  if (names.has('patient')) {
    const offered = form.controls.filter(({ name }) => name === 'patient').map(({ value }) => value);
    const wanted = process.env.PHIWARD_PATIENT;
    return set('patient', offered.find((value) => wanted && value.replace(/^Patient\//, '') === wanted) ?? offered[0]);
  }
  if (names.has('decision')) return set('decision', 'approve');
  return undefined;
}

/** Walks from `url` to the redirect to `redirectUri`, which is returned as a URL and not visited. */
export async function walk(url, redirectUri, user) {
  const jar = new Map();
  let here = new URL(url);
  const visit = async (target, init = {}) => {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(target, { ...init, redirect: 'manual', headers: { ...init.headers, accept: 'text/html', ...(cookie && { cookie }) } });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = line.match(/^([^=]+)=([^;]*)/);
      if (value && !/max-age=0\b/i.test(line)) jar.set(name, value);
      else jar.delete(name);
    }
    return response;
  };
  let response = await visit(here);
  for (let page = 0; page < 15; page += 1) {
    const location = response.headers.get('location');
    if (response.status >= 300 && response.status < 400 && location) {
      here = new URL(location, here);
      if (here.href.split(/[?#]/)[0] === redirectUri) return here;
      response = await visit(here);
      continue;
    }
    const html = await response.text();
    const known = forms(html).map((form) => [form, fill(form, user)]).find(([, values]) => values);
    if (!known) throw new Error(`stuck at ${here.pathname} (${response.status}): ${html}`);
    const [form, values] = known;
    here = form.action ? new URL(form.action, here) : here;
    const body = new URLSearchParams(values);
    if (form.method === 'post') {
      response = await visit(here, { method: 'POST', body });
    } else {
      here.search = body;
      response = await visit(here);
    }
  }
  throw new Error('no end of pages');
}
