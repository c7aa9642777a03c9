// A long call, followed from its drop to its result: no worker, a worker, a reload in the middle, a worker that is killed.
//
// WORKER is the program, WORKER_ENV its environment as JSON.
import { spawn } from 'node:child_process';
import assert from 'node:assert/strict';
import { base, complaints, drop, open, run, shot } from './harness.mjs';

const workers = new Set();

function startWorker() {
  const worker = spawn(process.env.WORKER, ['run'], { env: JSON.parse(process.env.WORKER_ENV), stdio: 'ignore' });
  workers.add(worker);
  return worker;
}

const scored = () => /[1-9]\d*/.test(document.querySelector('[data-step=analyze].now .detail')?.textContent ?? '');

await run({
  async 'a call of half an hour survives a reload and a killed worker'() {
    const page = await open({ locale: 'en-GB' });
    await page.goto(base);
    await drop(page, 'long.mp3');
    const clicked = Date.now();
    await page.click('button[type=submit].primary');
    await page.waitForSelector('#progress');
    assert.match(await page.textContent('.note'), /No worker is running/);
    await page.waitForFunction(() => /place 1 of 1/.test(document.querySelector('[data-step=queued] .detail').textContent));
    await shot(page, 'progress-waiting-en');
    const first = startWorker();
    await page.waitForFunction(scored);
    await shot(page, 'progress-scoring-en');
    await page.goto(`${page.url()}?lang=zh`); // a reload, in the other language
    await page.waitForFunction(scored);
    await shot(page, 'progress-scoring-zh');
    first.kill('SIGKILL');
    await new Promise((resolve) => { first.once('exit', resolve); });
    startWorker();
    // The page needs no help.
    await page.waitForSelector('.verdict', { timeout: 400_000 });
    console.log(`      ${((Date.now() - clicked) / 1000).toFixed(1)} s from the click to the result`);
    await page.waitForFunction(() => document.querySelector('#wave')?.firstElementChild?.shadowRoot?.querySelector('canvas'));
    assert.ok((await page.locator('.segment').count()) > 50);
    await shot(page, 'result-long-zh');
    // A stream of events that ended with its page is no error.
    complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes('ERR_')));
  },
}).finally(() => { for (const worker of workers) worker.kill('SIGKILL'); });
