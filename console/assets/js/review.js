// Keys of the review: 1 to 9 choose an emotion, space plays, n skips. A segment that is chosen is played.

const form = document.getElementById('review');
const player = document.getElementById('player');
const keys = document.getElementById('keys');
const lines = [...form.querySelectorAll('.line')];

// Kept in this browser: single keys disturb those who dictate or use a screen reader.
keys.checked = localStorage.getItem('review-keys') !== 'off';
keys.addEventListener('change', () => localStorage.setItem('review-keys', keys.checked ? 'on' : 'off'));

for (const line of lines) {
  const radio = line.querySelector('input');
  radio.addEventListener('change', () => {
    if (!player) return;
    player.currentTime = Number(line.dataset.t);
    player.play().catch(() => {}); // refused before the first click
  });
}

// The note belongs to what the review is about: that of another segment is shown when it is chosen, unless one is being written.
const note = document.getElementById('note');
let shown = note.value;
for (const radio of form.querySelectorAll('input[name=about]')) {
  radio.addEventListener('change', () => {
    if (note.value === shown) note.value = shown = radio.dataset.note ?? '';
  });
}

const asked = form.querySelector('.asked');
if (asked) {
  const list = asked.closest('.segments');
  list.scrollTop = asked.offsetTop - list.offsetTop - list.clientHeight / 2 + asked.clientHeight / 2;
}

player?.addEventListener('timeupdate', () => {
  for (const line of lines) {
    const playing = player.currentTime >= Number(line.dataset.t) && player.currentTime < Number(line.dataset.end);
    line.classList.toggle('playing', playing);
  }
});

function types(element) {
  return element instanceof Element && element.closest('textarea, select, input:not([type=radio])') !== null;
}

// What a focused element does with space by itself.
function takesSpace(element) {
  return element instanceof Element && element.closest('button, a, audio, input:not([type=radio]:checked)') !== null;
}

document.addEventListener('keydown', (event) => {
  if (!keys.checked || event.ctrlKey || event.altKey || event.metaKey || event.repeat || types(event.target)) return;
  if (event.key === ' ' && player && !takesSpace(event.target)) {
    event.preventDefault();
    if (player.paused) player.play().catch(() => {}); else player.pause();
  } else if (event.key === 'n') {
    document.getElementById('skip').click();
  } else {
    const button = form.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (button) button.click();
  }
});

// A verdict is sent once, however often the key is hit.
form.addEventListener('submit', (event) => {
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = 'yes';
});
addEventListener('pageshow', () => { delete form.dataset.sent; });
