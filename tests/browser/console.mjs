// The console's pages in a real browser.
import { readFileSync } from 'node:fs';
import assert from 'node:assert/strict';
import { accessible, base, complaints, drop, file, open, run, shot, upload } from './harness.mjs';

const drawn = () => document.querySelector('#wave')?.firstElementChild?.shadowRoot?.querySelector('canvas');

function form(names, fields = {}) {
  const data = new FormData();
  for (const name of names) data.append('audio', new File([readFileSync(file(name))], name));
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  return data;
}

// The page of a recording that was sent over the API.
async function predicted(name, fields) {
  const answer = await fetch(`${base}/api/predict/`, { method: 'POST', body: form([name], fields) });
  assert.equal(answer.status, 200, await answer.clone().text());
  return base + (await answer.json()).links.page;
}

// The page to which an upload leads, once its jobs have ended.
async function sent(names) {
  const answer = await fetch(`${base}/recognise`, { method: 'POST', body: form(names) });
  for (let tries = 0; tries < 100; tries += 1) {
    const page = await (await fetch(answer.url)).text();
    if (!page.includes('data-complete="false"') && !page.includes('id="progress"')) break;
    await new Promise((resolve) => { setTimeout(resolve, 200); });
  }
  return answer.url;
}

const steps = {
  async 'a recording chosen by the dialog leads to its result, in Chinese'() {
    const page = await open({ locale: 'zh-CN' });
    await page.goto(base);
    assert.match(await page.textContent('button.primary'), /🎯 开始识别/);
    await shot(page, 'recognise-zh');
    await accessible(page, 'recognise');
    // The first page is small, also on a slow line.
    const bytes = await page.evaluate(() => performance.getEntriesByType('resource').reduce((sum, { decodedBodySize }) => sum + decodedBodySize, 0));
    assert.ok(bytes < 100_000, `${bytes} bytes of scripts and styles`);
    await upload(page, ['speech.wav']);
    await page.waitForSelector('.verdict');
    assert.match(page.url(), /\/recognise\/[0-9a-f-]{36}/);
    await page.waitForFunction(drawn);
    assert.ok((await page.locator('.bars li').count()) >= 6);
    assert.match(await page.textContent('body'), /本模型没有学过/);
    await shot(page, 'result-zh');
    await accessible(page, 'result');
    // A click on a segment plays from there.
    await page.locator('.segment').first().click();
    await page.waitForFunction(() => document.getElementById('player').currentTime > 0);
    // A second in the address is where the player stands, in both languages.
    await page.goto(`${page.url()}?t=2`);
    await page.waitForFunction(() => document.getElementById('player').currentTime === 2);
    await page.click('.site-head a[hreflang=en]');
    await page.waitForURL((url) => url.searchParams.get('t') === '2' && url.searchParams.get('lang') === 'en');
    await page.goto(page.url().split('?')[0] + '?lang=zh');
    // Reload and share.
    await page.reload();
    await page.waitForSelector('.verdict');
    await page.goto(`${page.url().split('?')[0]}?lang=en`);
    assert.match(await page.textContent('h2'), /Scores/);
    await page.goto(base);
    assert.equal(await page.getAttribute('html', 'lang'), 'en'); // the choice is kept
  },
  async 'a call of two channels dropped onto the page, by frame, in English and dark'() {
    const page = await open({ locale: 'en-GB', colorScheme: 'dark' });
    await page.goto(base);
    await drop(page, 'call.wav');
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
    await upload(page, ['letter.wav']);
    await page.waitForSelector('.sentence');
    assert.match(await page.textContent('.sentence'), /不是可识别的音频文件/);
    await shot(page, 'failed-zh');
    await accessible(page, 'failed');
    // Silence is a result without an emotion, and says so.
    await upload(page, ['silence.wav']);
    await page.waitForSelector('.verdict');
    assert.match(await page.textContent('.verdict'), /没有语音/);
    assert.equal(await page.locator('.bars li').count(), 0);
    await shot(page, 'silence-zh');
    await accessible(page, 'silence');
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
    await page.waitForFunction(drawn);
    await shot(page, 'result-zh-phone');
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= screen.width), 'nothing is wider than the phone');
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
  async 'a file without bytes is refused where it is dropped'() {
    const page = await open({ locale: 'en-GB' });
    await page.goto(base);
    await drop(page, 'empty.wav');
    assert.match(await page.textContent('#chosen'), /The file is empty/);
    await page.click('button[type=submit].primary');
    assert.match(await page.textContent('#upload-state'), /The file is empty/);
  },
  async 'of several files, those that can be sent are'() {
    const page = await open({ locale: 'en-GB' });
    await page.goto(base);
    await page.setInputFiles('#audio', Array(51).fill({ name: 'a.wav', mimeType: 'audio/wav', buffer: Buffer.from('x') }));
    await page.click('button[type=submit].primary');
    assert.match(await page.textContent('#upload-state'), /at most 50/);
    await page.setInputFiles('#audio', ['speech.wav', 'empty.wav'].map(file));
    await page.click('button[type=submit].primary');
    assert.match(await page.textContent('#upload-state'), /empty\.wav: The file is empty.*press the button again/);
    await page.click('button[type=submit].primary');
    await page.waitForSelector('.verdict');
  },
  async 'two scored channels are drawn one at a time'() {
    const page = await open({ locale: 'en-GB' });
    await predicted('speech.wav', {}); // something to compare with
    await page.goto(await predicted('call.wav', { granularity: 'frame', channels: '0=customer,1=customer' }));
    await page.waitForSelector('#frames[data-shown="0"] canvas');
    await page.waitForSelector('.wave-name >> nth=1');
    // Each segment is drawn on its own channel.
    await page.waitForFunction(() => {
      const wave = document.querySelector('#wave').firstElementChild.shadowRoot;
      const places = [...wave.querySelectorAll('[part~=region]')].map(({ style }) => `${style.top} ${style.height}`);
      return places.includes('0% 50%') && places.includes('50% 50%');
    });
    await page.click('[data-channel="1"]');
    await page.waitForSelector('#frames[data-shown="1"] canvas');
    assert.equal(await page.getAttribute('[data-channel="1"]', 'aria-pressed'), 'true');
    assert.equal(await page.locator('#frames canvas').count(), 1);
    // The other recordings of this console, by their embeddings.
    await page.waitForSelector('#similar:not([hidden]) li a');
    await shot(page, 'result-two-channels');
  },
  async 'from the click to the result'() {
    const page = await open({ locale: 'en-GB' });
    const [clicks, requests] = [[], []];
    for (let round = 0; round <= 10; round += 1) {
      let begun = performance.now();
      await predicted('speech.wav', {});
      const request = performance.now() - begun;
      await page.goto(base);
      await page.setInputFiles('#audio', file('speech.wav'));
      begun = performance.now();
      await page.click('button[type=submit].primary');
      await page.waitForSelector('.verdict');
      if (round > 0) [clicks, requests].forEach((list, i) => list.push([performance.now() - begun, request][i])); // the first one warms up
    }
    const [p50, p95] = [0.5, 0.95].map((share) => (list) => list.sort((a, b) => a - b)[Math.round((list.length - 1) * share)].toFixed(0));
    console.log(`      click to result: p50 ${p50(clicks)} ms, p95 ${p95(clicks)} ms; the same over the API: p50 ${p50(requests)} ms, p95 ${p95(requests)} ms`);
    assert.ok(Number(p50(clicks)) < 3 * Number(p50(requests)) + 2000);
  },
  async 'every page in both languages, on phone and desktop, light and dark'() {
    const pages = {
      recognise: '/', api: '/api', login: '/login', missing: '/recognise/00000000-0000-0000-0000-000000000000',
      result: await predicted('call.wav', { granularity: 'frame', call_id: 'c-17' }),
      batch: await sent(['speech.wav', 'call.wav', 'letter.wav']), failed: await sent(['letter.wav']),
    };
    for (const locale of ['zh-CN', 'en-GB']) {
      for (const colorScheme of ['light', 'dark']) {
        for (const phone of [false, true]) {
          const screen = phone ? { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true } : {};
          const page = await open({ locale, colorScheme, ...screen });
          for (const [name, path] of Object.entries(pages)) {
            await page.goto(path.startsWith('/') ? base + path : path);
            if (name === 'result') {
              await page.waitForSelector('#frames canvas');
              await page.waitForFunction(drawn);
            }
            if (name === 'batch') await page.waitForSelector('#batch[data-complete=true]');
            const title = [name, locale.slice(0, 2), phone ? 'phone' : 'desktop', colorScheme].join('-');
            await shot(page, `all-${title}`);
            if (phone) assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= screen.width), `${title} is wider than the phone`);
            // Each page once in each colour scheme.
            if (phone === (locale === 'zh-CN')) await accessible(page, title);
          }
          await page.context().close();
        }
      }
    }
    complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes('404')));
  },
};

await run(steps);
