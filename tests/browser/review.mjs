// Reviewing calls, and the state of the fleet, in a real browser.
import assert from 'node:assert/strict';
import { accessible, base, open, run, shot } from './harness.mjs';

const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const narrow = (page) => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);

// The address of the call that a page shows.
const shown = (page) => page.getAttribute('#review', 'action');

const steps = {
  async 'both pages in both languages, on phone and desktop, light and dark'() {
    for (const [title, options] of [
      ['en-desktop', { locale: 'en-GB' }], ['zh-phone', { locale: 'zh-CN', ...phone }], ['en-dark', { locale: 'en-GB', colorScheme: 'dark' }], ['zh-phone-dark', { locale: 'zh-CN', colorScheme: 'dark', ...phone }],
    ]) {
      const page = await open(options);
      for (const name of ['review', 'operations']) {
        await page.goto(`${base}/${name}`);
        await page.waitForLoadState('networkidle');
        await shot(page, `${name}-${title}`);
        await accessible(page, `${name}, ${title}`);
        assert.ok(await narrow(page), `${name}, ${title} is wider than its screen`);
      }
      await page.context().close();
    }
  },
  async 'the player stands at the second in question, and a key plays it'() {
    const page = await open({ locale: 'en-GB' });
    await page.goto(`${base}/review`);
    const asked = Number(await page.getAttribute('.line.asked', 'data-t'));
    await page.waitForFunction((second) => Math.abs(document.getElementById('player').currentTime - second) < 0.2, asked);
    await page.keyboard.press('Space');
    await page.waitForFunction(() => !document.getElementById('player').paused);
    await page.keyboard.press('Space');
    await page.waitForFunction(() => document.getElementById('player').paused);
  },
  async 'keys skip, choose and can be turned off; a comment is no command'() {
    const page = await open({ locale: 'en-GB' });
    await page.goto(`${base}/review`);
    const before = await page.textContent('#left');
    const name = await shown(page);
    await page.keyboard.press('n');
    await page.waitForURL(/after=/);
    assert.notEqual(await shown(page), name);
    await page.goto(`${base}/review`);
    await page.fill('#note', 'no 7');
    await page.locator('#note').press('7');
    assert.equal(await page.inputValue('#note'), 'no 77');
    await page.uncheck('#keys');
    await page.locator('#keys').blur();
    await page.keyboard.press('7');
    await page.keyboard.press('n');
    assert.equal(await shown(page), name);
    await page.check('#keys');
    await page.locator('h1').click();
    await page.keyboard.press('7');
    await page.waitForURL(/saved=/);
    assert.match(await page.textContent('.note'), /Saved: 😢 sad/);
    assert.notEqual(await page.textContent('#left'), before);
    await shot(page, 'review-saved');
    // The result shows it, beside what was predicted.
    await page.click('.note a');
    await page.click('text=The whole result');
    assert.match(await page.textContent('#reviews'), /sad.*no 77/s);
    await shot(page, 'result-reviews');
    await accessible(page, 'result with a review');
  },
  async 'without JavaScript'() {
    const page = await open({ locale: 'en-GB', javaScriptEnabled: false });
    await page.goto(`${base}/review`);
    const name = await shown(page);
    await page.click('button[value=neutral]');
    assert.match(await page.textContent('.note'), /Saved: 😐 neutral/);
    assert.ok((await page.locator('#review').count()) === 0 || (await shown(page)) !== name);
  },
  async 'nothing is left'() {
    const page = await open({ locale: 'en-GB' });
    await page.goto(`${base}/review`);
    while (await page.locator('#review').count()) {
      await page.click('button[value=happy]');
      await page.waitForURL(/saved=/);
      await page.goto(`${base}/review`);
    }
    assert.match(await page.textContent('main'), /Nothing to review/);
    await shot(page, 'review-none');
    await accessible(page, 'nothing to review');
  },
  async 'the state of the fleet is shown anew by itself'() {
    const page = await open({ locale: 'en-GB' });
    await page.goto(`${base}/operations`);
    const first = await page.getAttribute('#operations time', 'datetime');
    await page.waitForFunction((at) => document.querySelector('#operations time').dateTime !== at, first);
  },
};

await run(steps);
