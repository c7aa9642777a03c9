// A real browser for the console's pages. A violation of the content security policy, an error of a script or a request to
// another host fails the step.
//
// Called as node SCRIPT URL FIXTURES SHOTS.
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import assert from 'node:assert/strict';

export const [base, fixtures, shots] = process.argv.slice(2);
const require = createRequire(`${process.env.EMOFLEET_TEST_CLIENTS}/js/`);
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
mkdirSync(shots, { recursive: true });
export const complaints = [];

export const file = (name) => `${fixtures}/${name}`;

const browser = await chromium.launch({
  executablePath: process.env.EMOFLEET_TEST_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', '--autoplay-policy=no-user-gesture-required'],
});

export async function open(options) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => console.error(`CSP ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
  });
  const page = await context.newPage();
  page.setDefaultTimeout(90_000);
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(`${page.url()}: ${message.text()}`); });
  page.on('pageerror', (error) => complaints.push(`${page.url()}: ${error.message}`));
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(base) && !url.startsWith('data:') && !url.startsWith('blob:')) complaints.push(`a request to ${url}`);
  });
  return page;
}

export async function shot(page, name) {
  await page.screenshot({ path: `${shots}/${name}.png`, fullPage: true });
}

export async function accessible(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'], preload: false }));
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  assert.deepEqual(serious.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), [], name);
}

export async function upload(page, names, before = async () => {}) {
  await page.goto(base);
  await page.setInputFiles('#audio', names.map(file));
  await before();
  await page.click('button[type=submit].primary');
}

// As the file manager drops it.
export async function drop(page, name) {
  const bytes = readFileSync(file(name)).toString('base64');
  const dropped = await page.evaluateHandle(([text, name]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
    return transfer;
  }, [bytes, name]);
  await page.dispatchEvent('#drop', 'drop', { dataTransfer: dropped });
}

export async function run(steps) {
  let failed = 0;
  const only = process.env.EMOFLEET_BROWSER_ONLY;
  for (const [name, step] of Object.entries(steps)) {
    if (only && !name.includes(only)) continue;
    try {
      await step();
      assert.deepEqual(complaints.splice(0), []);
      console.log(`ok    ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL  ${name}\n${error.stack}`);
      complaints.splice(0);
      for (const context of browser.contexts()) {
        for (const page of context.pages()) await page.screenshot({ path: `${shots}/failed-${failed}.png` }).catch(() => {});
      }
    }
    for (const context of browser.contexts()) await context.close();
  }
  await browser.close();
  process.exitCode = failed ? 1 : 0;
}
