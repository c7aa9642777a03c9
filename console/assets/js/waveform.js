// Draws the waveform from the server's peaks: the browser never decodes the audio for it.
import WaveSurfer from '../vendor/wavesurfer.js';
import Regions from '../vendor/regions.js';
import Timeline from '../vendor/timeline.js';

// Pixels of each of several channels.
const HEIGHT = 72;

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

export async function waveform(container, player, data, play) {
  const answer = await fetch(container.dataset.peaks);
  if (!answer.ok) return;
  const { channels, duration_s: duration } = await answer.json();
  // One height for each step: the larger of both sides.
  const peaks = channels.map(({ min, max }) => max.map((high, i) => Math.max(high, -min[i]) / 128));
  const ink = colour('ink-2');
  const accent = colour('accent');
  const nonce = document.querySelector('meta[name=csp-nonce]').content;
  const line = { waveColor: ink, progressColor: accent };
  // Below the waveform: within it, the plugin of regions would take its height for that of a channel.
  const axis = document.createElement('div');
  axis.className = 'wave-axis';
  container.after(axis);
  const wave = WaveSurfer.create({
    container, media: player, peaks, duration, height: channels.length > 1 ? HEIGHT : 104, normalize: true, cspNonce: nonce,
    ...line, cursorColor: accent, splitChannels: channels.length > 1 ? channels.map(() => line) : undefined,
    plugins: [Timeline.create({ height: 18, container: axis, secondaryLabelOpacity: 0.7, style: { color: colour('ink') } })],
  });
  const regions = wave.registerPlugin(Regions.create());
  const split = channels.length > 1;
  const draw = () => {
    for (const { row, start, end, emotion } of data.segments) {
      const region = regions.addRegion({
        start, end, drag: false, resize: false, color: `${colour(emotion)}55`, channelIdx: split ? row : -1,
        content: label(data.emotions[emotion], (end - start) / duration * container.clientWidth),
      });
      region.on('click', (event) => { event.stopPropagation(); play(start); });
    }
  };
  // Before, the plugin does not know the number of channels, and draws over all of them.
  if (wave.getDecodedData()) draw(); else wave.once('ready', draw);
  if (split) {
    for (const [row, { name, channel }] of data.channels.entries()) {
      const tag = document.createElement('span');
      tag.className = 'wave-name';
      tag.textContent = `${name} ${channel ?? ''}`;
      tag.style.insetBlockStart = `${row * HEIGHT}px`;
      container.append(tag);
    }
  }
}

// As much of a segment's emotion as fits into its width, in pixels.
function label({ emoji, name }, width) {
  if (width < 24) return undefined;
  const text = document.createElement('span');
  text.textContent = width < 90 ? emoji : `${emoji} ${name}`;
  text.title = name;
  text.style.cssText = 'position: absolute; inset-block-start: 2px; inset-inline-start: 4px; font-size: 12px; white-space: nowrap; pointer-events: none; padding: 0 3px; border-radius: 3px; background: color-mix(in srgb, var(--surface) 75%, transparent)';
  return text;
}
