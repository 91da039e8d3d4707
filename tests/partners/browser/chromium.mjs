// Debian's Chromium by playwright-core, trusting one certificate that was first verified against the demo's
// own authority; and screenshots of a page as desktop, phone and dark.
import { createHash, X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:tls';
import { chromium } from 'playwright-core';

/** The SHA-256 of the public key behind `issuer`, after a handshake that trusts `caFile` alone. */
async function verifiedKey(issuer, caFile) {
  const { hostname, port } = new URL(issuer);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port, servername: hostname, ca: readFileSync(caFile) }, () => {
      const certificate = new X509Certificate(socket.getPeerCertificate().raw);
      const key = certificate.publicKey.export({ type: 'spki', format: 'der' });
      socket.end();
      resolve(createHash('sha256').update(key).digest('base64'));
    });
    socket.on('error', reject);
  });
}

/** A browser; close it. */
export async function browser(demo) {
  return chromium.launch({
    executablePath: process.env.PHIWARD_CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--disable-dev-shm-usage',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...(demo ? [`--ignore-certificate-errors-spki-list=${await verifiedKey(demo.issuer, demo.ca_file)}`] : []),
    ],
  });
}

const LOOKS = {
  desktop: { size: { width: 1280, height: 800 }, colorScheme: 'light' },
  phone: { size: { width: 390, height: 844 }, colorScheme: 'light' },
  dark: { size: { width: 1280, height: 800 }, colorScheme: 'dark' },
};

/** Photographs the page in every look, and says what no page of ours may have. */
export async function look(page, name, faults) {
  const folder = process.env.PHIWARD_SCREENSHOTS;
  mkdirSync(folder, { recursive: true });
  for (const [look, { size, colorScheme }] of Object.entries(LOOKS)) {
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.screenshot({ path: `${folder}/${name}-${look}.png`, fullPage: true });
    const found = await page.evaluate(() => {
      const unnamed = [...document.querySelectorAll('input:not([type=hidden]), select, button')].filter(
        (control) => !control.labels?.length && !control.textContent.trim() && !control.ariaLabel && !control.value,
      );
      return [
        document.documentElement.scrollWidth > innerWidth && 'is wider than its window',
        !document.documentElement.lang && 'does not say its language',
        !document.title && 'has no title',
        !document.querySelector('h1') && 'has no heading',
        unnamed.length > 0 && `has controls without a name: ${unnamed.map((one) => one.outerHTML)}`,
      ].filter(Boolean);
    });
    faults.push(...found.map((fault) => `${name} (${look}) ${fault}`));
  }
  await page.setViewportSize(LOOKS.desktop.size);
  await page.emulateMedia({ colorScheme: 'light' });
}
