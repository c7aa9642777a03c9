// The scores of one channel over time, followed by the player. Drag to zoom, double-click to see all again.
import { colour } from './waveform.js';

const HEIGHT = 300;

function load(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = address;
    script.addEventListener('load', resolve);
    script.addEventListener('error', reject);
    document.head.append(script);
  });
}

function draw(container, { labels, rows }, data) {
  const seen = labels.map((_, i) => rows.some((row) => row.scores[i] > 1e-6)); // without emotions that the model was not trained on
  // A break in the line between segments.
  const points = rows.flatMap((row, i) => {
    const before = rows[i - 1];
    return before && row.t - before.t > 0.5 ? [{ t: before.t + 0.01, scores: [] }, row] : [row];
  });
  const shown = labels.map((label, i) => [label, i]).filter(([, i]) => seen[i]);
  const columns = [points.map((row) => row.t), ...shown.map(([, i]) => points.map((row) => row.scores[i] ?? null))];
  const axis = { stroke: colour('ink-2'), grid: { stroke: colour('line'), width: 1 }, ticks: { stroke: colour('line'), width: 1 } };
  const percent = (value) => (value === null || value === undefined ? '–' : `${(value * 100).toFixed(0)} %`);
  const seconds = (value) => (value === null || value === undefined ? '–' : `${value.toFixed(1)} s`);
  const series = shown.map(([label]) => ({
    label: `${data.emotions[label].emoji} ${data.emotions[label].name}`, stroke: colour(label), width: 1.5, value: (_, value) => percent(value),
  }));
  return new window.uPlot({
    width: container.clientWidth, height: HEIGHT,
    scales: { x: { time: false, range: (_, low, high) => (low === columns[0][0] ? [0, data.duration] : [low, high]) }, y: { range: [0, 1] } },
    axes: [{ ...axis, values: (_, ticks) => ticks.map((tick) => `${tick} s`) }, { ...axis, size: 56, values: (_, ticks) => ticks.map(percent) }],
    series: [{ label: '⏱', value: (_, value) => seconds(value) }, ...series],
  }, columns, container);
}

export async function frames(container, address, player, data) {
  const style = document.createElement('link');
  style.rel = 'stylesheet';
  style.href = new URL('../vendor/uplot.css', import.meta.url).href;
  document.head.append(style);
  await load(new URL('../vendor/uplot.js', import.meta.url).href);
  const buttons = [...document.querySelectorAll('[data-channel]')];
  let chart;
  async function show(channel) {
    const answer = await fetch(channel === '' ? address : `${address}&channel=${channel}`);
    if (!answer.ok) return;
    const body = await answer.json();
    chart?.destroy();
    chart = draw(container, body, data);
    container.dataset.shown = channel;
    for (const button of buttons) button.setAttribute('aria-pressed', String(button.dataset.channel === channel));
  }
  for (const button of buttons) button.addEventListener('click', () => show(button.dataset.channel));
  await show(buttons[0]?.dataset.channel ?? '');
  addEventListener('resize', () => chart?.setSize({ width: container.clientWidth, height: HEIGHT }));
  player?.addEventListener('timeupdate', () => chart?.setCursor({ left: chart.valToPos(player.currentTime, 'x'), top: 0 }));
}
