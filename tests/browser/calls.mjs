// The pages that list and count calls, in a real browser.
import assert from 'node:assert/strict';
import { accessible, base, complaints, open, run, shot } from './harness.mjs';

const rows = (page) => page.locator('.calls tbody').count();
const narrow = (page) => page.evaluate(() => document.documentElement.scrollWidth <= screen.width);
// The browser's clock is known from the first page on.
async function first(page, lang = '') {
  await page.goto(`${base}/${lang}`);
}

const steps = {
  async 'calls are narrowed by the form and by a click, and the address is all there is to share'() {
    const page = await open({ locale: 'en-GB', timezoneId: 'Asia/Shanghai' });
    await first(page);
    await page.click('.site-head nav a[href="/calls"]');
    await page.waitForSelector('.calls');
    assert.equal(await rows(page), 12);
    assert.match(page.url(), /utc_offset_min=480/);
    assert.equal(await page.getAttribute('.site-head nav [aria-current]', 'href'), '/calls');
    // Times stay on the clock that the page names.
    assert.match(await page.textContent('.calls thead'), /UTC\+08:00/);
    await shot(page, 'calls-en');
    await accessible(page, 'calls');
    await page.selectOption('[name=emotion]', 'angry');
    await page.fill('[name=team]', '7');
    await page.click('.apply button');
    await page.waitForURL(/emotion=angry/);
    assert.doesNotMatch(page.url(), /agent=|days=30/);
    const found = await rows(page);
    assert.ok(found > 0 && found < 12);
    const stranger = await open({ locale: 'en-GB', timezoneId: 'America/New_York' });
    await stranger.goto(page.url());
    assert.equal(await rows(stranger), found);
    await page.getByRole('link', { name: 'Remove the filter: Team 7' }).click();
    await page.waitForURL((url) => !url.searchParams.has('team'));
    await page.goto(`${base}/calls?team=nobody`);
    await page.waitForSelector('.empty');
    await shot(page, 'calls-none-en');
    await accessible(page, 'no calls');
    await page.goto(`${base}/calls?from=yesterday&team=7`);
    assert.match(await page.textContent('[role=alert]'), /“yesterday” is not a day/);
    await shot(page, 'calls-wrong-en');
    await accessible(page, 'a wrong filter');
    complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes('400')));
  },
  async 'the overview leads to the calls that it counts'() {
    const page = await open({ locale: 'en-GB' });
    await first(page);
    await page.click('.site-head nav a[href="/overview"]');
    await page.waitForSelector('.days');
    await shot(page, 'overview-en');
    await accessible(page, 'overview');
    await page.click('details summary');
    await accessible(page, 'overview, with its table');
    const day = page.locator('details tbody tr').last();
    const counted = Number(await day.locator('td').first().textContent());
    await day.locator('a').click();
    await page.waitForSelector('.calls');
    assert.equal(await rows(page), counted);
  },
  async 'dark, in Chinese'() {
    const page = await open({ locale: 'zh-CN', colorScheme: 'dark' });
    await first(page);
    for (const name of ['calls', 'overview']) {
      await page.goto(`${base}/${name}`);
      await shot(page, `${name}-zh-dark`);
      await accessible(page, `${name}, dark`);
    }
  },
  async 'a phone, in Chinese'() {
    const page = await open({ locale: 'zh-CN', viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true });
    await first(page);
    for (const name of ['calls', 'overview']) {
      await page.goto(`${base}/${name}`);
      await shot(page, `${name}-zh-phone`);
      await accessible(page, `${name}, phone`);
      assert.ok(await narrow(page), `nothing of ${name} is wider than the phone`);
    }
  },
  async 'without JavaScript'() {
    const page = await open({ locale: 'en-GB', javaScriptEnabled: false });
    await page.goto(`${base}/calls`);
    assert.equal(await rows(page), 12);
    await page.check('[name=alerts]');
    await page.click('.apply button');
    assert.equal(await rows(page), 3);
  },
};

await run(steps);
