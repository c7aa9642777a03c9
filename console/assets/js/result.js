// Waveform with its segments, the player, scores over time, similar recordings, and copying.
import './copy.js';
import { similar } from './similar.js';
import { waveform } from './waveform.js';

const data = JSON.parse(document.getElementById('result-data').textContent);
const player = document.getElementById('player');
const buttons = [...document.querySelectorAll('.segment')];

function play(second) {
  if (!player) return;
  player.currentTime = second;
  player.play().catch(() => {}); // refused before the first click
}

for (const button of buttons) button.addEventListener('click', () => play(Number(button.dataset.t)));

player?.addEventListener('timeupdate', () => {
  const now = player.currentTime;
  for (const button of buttons) {
    const playing = now >= Number(button.dataset.t) && now < Number(button.dataset.end);
    if (playing && button.getAttribute('aria-current') !== 'true') {
      const list = button.closest('.segments');
      list.scrollTop = button.offsetTop - list.offsetTop - list.clientHeight / 2;
    }
    button.setAttribute('aria-current', String(playing));
  }
});

const asked = Number(new URLSearchParams(location.search).get('t'));
if (player && asked > 0) {
  const seek = () => { player.currentTime = asked; };
  // It may know the length before this script runs.
  if (player.readyState >= HTMLMediaElement.HAVE_METADATA) seek();
  else player.addEventListener('loadedmetadata', seek, { once: true });
}

const wave = document.getElementById('wave');
if (wave && player) waveform(wave, player, data, play);
const chart = document.getElementById('frames');
if (chart) import('./frames.js').then(({ frames }) => frames(chart, chart.dataset.frames, player, data));
similar(document.getElementById('similar'), data);
