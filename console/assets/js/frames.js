// The scores over time, followed by the player. Drag to zoom, double-click to see all again.
import { colour } from './waveform.js';

function load(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = address;
    script.addEventListener('load', resolve);
    script.addEventListener('error', reject);
    document.head.append(script);
  });
}

export async function frames(container, address, player) {
  const style = document.createElement('link');
  style.rel = 'stylesheet';
  style.href = new URL('../vendor/uplot.css', import.meta.url).href;
  document.head.append(style);
  const [answer] = await Promise.all([fetch(address), load(new URL('../vendor/uplot.js', import.meta.url).href)]);
  if (!answer.ok) return;
  const { labels, rows } = await answer.json();
  // Channels one after the other: the first one that was scored.
  const first = rows.filter((row) => row.channel === rows[0]?.channel);
  const seen = labels.map((_, i) => first.some((row) => row.scores[i] > 1e-6)); // without emotions that the model was not trained on
  // A break in the line between segments.
  const points = first.flatMap((row, i) => {
    const before = first[i - 1];
    return before && row.t - before.t > 0.5 ? [{ t: before.t + 0.01, scores: [] }, row] : [row];
  });
  const shown = labels.map((label, i) => [label, i]).filter(([, i]) => seen[i]);
  const columns = [points.map((row) => row.t), ...shown.map(([, i]) => points.map((row) => row.scores[i] ?? null))];
  const ink = colour('ink-2');
  const grid = { stroke: ink, grid: { stroke: colour('line') } };
  const names = Object.fromEntries([...document.querySelectorAll('.bars li')].map((li) => [
    [...li.classList].find((name) => name.startsWith('e-'))?.slice(2), li.querySelector('.bar-name').textContent.trim()]));
  const chart = new window.uPlot({
    width: container.clientWidth, height: 288, scales: { x: { time: false }, y: { range: [0, 1] } }, axes: [grid, grid],
    series: [{ label: 's' }, ...shown.map(([label]) => ({ label: names[label] ?? label, stroke: colour(label), width: 1.5 }))],
  }, columns, container);
  addEventListener('resize', () => chart.setSize({ width: container.clientWidth, height: 288 }));
  player?.addEventListener('timeupdate', () => {
    chart.setCursor({ left: chart.valToPos(player.currentTime, 'x'), top: 0 });
  });
}
