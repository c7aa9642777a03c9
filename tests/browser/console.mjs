// The console in a real browser: node console.mjs URL FIXTURES SHOTS
//
// A violation of the content security policy, an error of a script or a request to another host fails the step.
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import assert from 'node:assert/strict';

const [base, fixtures, shots] = process.argv.slice(2);
const require = createRequire(`${process.env.EMOFLEET_TEST_CLIENTS}/js/`);
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
mkdirSync(shots, { recursive: true });
const file = (name) => `${fixtures}/${name}`;
const complaints = [];

const browser = await chromium.launch({
  executablePath: process.env.EMOFLEET_TEST_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', '--autoplay-policy=no-user-gesture-required'],
});

async function open(options) {
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

async function shot(page, name) {
  await page.screenshot({ path: `${shots}/${name}.png`, fullPage: true });
}

async function accessible(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'], preload: false }));
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  assert.deepEqual(serious.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), [], name);
}

async function upload(page, names, before = async () => {}) {
  await page.goto(base);
  await page.setInputFiles('#audio', names.map(file));
  await before();
  await page.click('button[type=submit].primary');
}

const steps = {
  async 'a recording chosen by the dialog leads to its result, in Chinese'() {
    const page = await open({ locale: 'zh-CN' });
    await page.goto(base);
    assert.match(await page.textContent('button.primary'), /🎯 开始识别/);
    await shot(page, 'recognise-zh');
    await accessible(page, 'recognise');
    await upload(page, ['speech.wav']);
    await page.waitForSelector('.verdict');
    assert.match(page.url(), /\/recognise\/[0-9a-f-]{36}/);
    await page.waitForFunction(() => document.querySelector('#wave')?.firstElementChild?.shadowRoot?.querySelector('canvas'));
    assert.ok((await page.locator('.bars li').count()) >= 6);
    assert.match(await page.textContent('body'), /本模型没有学过/);
    await shot(page, 'result-zh');
    await accessible(page, 'result');
    // A click on a segment plays from there.
    await page.locator('.segment').first().click();
    await page.waitForFunction(() => document.getElementById('player').currentTime > 0);
    // Reload and share.
    await page.reload();
    await page.waitForSelector('.verdict');
    await page.goto(`${page.url()}?lang=en`);
    assert.match(await page.textContent('h2'), /Scores/);
    await page.goto(base);
    assert.equal(await page.getAttribute('html', 'lang'), 'en'); // the choice is kept
  },
  async 'a call of two channels dropped onto the page, by frame, in English and dark'() {
    const page = await open({ locale: 'en-GB', colorScheme: 'dark' });
    await page.goto(base);
    const bytes = readFileSync(file('call.wav')).toString('base64');
    const dropped = await page.evaluateHandle((text) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], 'call.wav'));
      return transfer;
    }, bytes);
    await page.dispatchEvent('#drop', 'drop', { dataTransfer: dropped });
    assert.match(await page.textContent('#chosen'), /call\.wav/);
    await page.check('input[name=granularity][value=frame]');
    await shot(page, 'recognise-en-dark');
    await page.click('button[type=submit].primary');
    await page.waitForSelector('.verdict');
    await page.waitForSelector('#frames canvas');
    await shot(page, 'result-frame-en-dark');
    await accessible(page, 'result, dark');
    assert.match(await page.textContent('body'), /This channel is not scored/);
    // Exchanged, the agent's silence is scored: another job on the same recording.
    const before = page.url();
    await page.click('.again form button');
    await page.waitForURL((url) => String(url) !== before);
    await page.waitForSelector('.verdict');
    assert.match(await page.textContent('h3'), /Customer channel 0/);
  },
  async 'several files become a table'() {
    const page = await open({ locale: 'en-GB' });
    await upload(page, ['speech.wav', 'call.wav', 'letter.wav']);
    await page.waitForURL(/\/batches\//);
    await page.waitForSelector('#batch[data-complete=true]');
    assert.equal(await page.locator('tbody tr').count(), 3);
    assert.match(await page.textContent('tbody'), /no audio file/);
    await shot(page, 'batch-en');
    await accessible(page, 'batch');
  },
  async 'a recording that cannot be scored gets a sentence'() {
    const page = await open({ locale: 'zh-CN' });
    await upload(page, ['empty.wav']);
    await page.waitForSelector('#upload-state .note');
    assert.match(await page.textContent('#upload-state'), /文件是空的/);
    await shot(page, 'empty-zh');
    for (const [name, sentence] of [['letter.wav', /不是可识别的音频文件/], ['silence.wav', /没有语音/]]) {
      await upload(page, [name]);
      await page.waitForSelector('.sentence');
      assert.match(await page.textContent('.sentence'), sentence);
    }
    await shot(page, 'failed-zh');
    await accessible(page, 'failed');
    await page.goto(`${base}/recognise/00000000-0000-0000-0000-000000000000`);
    assert.match(await page.textContent('.sentence'), /没有这个页面或结果/);
    complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes('404')));
  },
  async 'a phone'() {
    const page = await open({ locale: 'zh-CN', viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true });
    await page.goto(base);
    await shot(page, 'recognise-zh-phone');
    await upload(page, ['speech.wav']);
    await page.waitForSelector('.verdict');
    await page.waitForFunction(() => document.querySelector('#wave')?.firstElementChild?.shadowRoot?.querySelector('canvas'));
    await shot(page, 'result-zh-phone');
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is wider than the phone');
  },
  async 'recording from the microphone'() {
    const page = await open({ locale: 'en-GB', permissions: ['microphone'] });
    await page.goto(base);
    await page.click('#record');
    await page.waitForSelector('#record.recording');
    await page.waitForTimeout(1500);
    await page.click('#record');
    await page.waitForFunction(() => document.getElementById('audio').files.length === 1);
    assert.match(await page.textContent('#chosen'), /recording\.webm/);
  },
  async 'a sample'() {
    const page = await open({ locale: 'en-GB' });
    await page.goto(base);
    await page.locator('[data-sample]').first().click();
    await page.waitForFunction(() => document.getElementById('audio').files.length === 1);
  },
  async 'without JavaScript'() {
    const page = await open({ locale: 'en-GB', javaScriptEnabled: false });
    await upload(page, ['speech.wav']);
    await page.waitForSelector('.verdict');
    await shot(page, 'result-en-no-script');
  },
  async 'the description of the API'() {
    const page = await open({ locale: 'en-GB' });
    await page.goto(`${base}/api`);
    await shot(page, 'api-en');
    await accessible(page, 'api');
  },
};

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
process.exit(failed ? 1 : 0);
