// Chooses files by drop, paste, microphone or example, and sends them with a progress bar.
import { recorder } from './record.js';

const form = document.getElementById('upload');
const input = document.getElementById('audio');
const drop = document.getElementById('drop');
const chosen = document.getElementById('chosen');
const state = document.getElementById('upload-state');
const button = form.querySelector('button[type=submit]');
const maxBytes = Number(form.dataset.maxBytes);
const maxFiles = Number(form.dataset.maxFiles);

function choose(files) {
  const transfer = new DataTransfer();
  for (const file of files) transfer.items.add(file);
  input.files = transfer.files;
  show();
}

function show() {
  state.replaceChildren();
  chosen.replaceChildren(...[...input.files].map((file) => {
    const item = document.createElement('li');
    item.textContent = `${file.name} (${(file.size / 1048576).toFixed(1)} MB)`;
    const wrong = fault(file);
    if (wrong) {
      const sentence = document.createElement('span');
      sentence.className = 'bad';
      sentence.textContent = ` ${wrong}`;
      item.append(sentence);
    }
    return item;
  }));
}

function fault(file) {
  if (file.size === 0) return state.dataset.empty;
  return file.size > maxBytes ? state.dataset.tooLarge : '';
}

function say(sentence, code) {
  const note = document.createElement('p');
  note.className = 'note warn';
  note.setAttribute('role', 'alert');
  note.textContent = code ? `${sentence} (${code})` : sentence;
  state.replaceChildren(note);
  button.disabled = false;
}

input.addEventListener('change', show);
for (const name of ['dragenter', 'dragover']) {
  document.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add('over'); });
}
for (const name of ['dragleave', 'drop']) {
  document.addEventListener(name, (event) => { event.preventDefault(); drop.classList.remove('over'); });
}
document.addEventListener('drop', (event) => { if (event.dataTransfer.files.length) choose(event.dataTransfer.files); });
document.addEventListener('paste', (event) => { if (event.clipboardData.files.length) choose(event.clipboardData.files); });
for (const sample of document.querySelectorAll('[data-sample]')) {
  sample.addEventListener('click', async () => {
    const answer = await fetch(sample.dataset.sample);
    choose([new File([await answer.blob()], sample.textContent.trim())]);
  });
}
recorder(document.getElementById('record'), document.getElementById('record-note'), (file) => choose([file]));

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const files = [...input.files];
  if (files.length > maxFiles) return say(state.dataset.tooMany);
  const good = files.filter((file) => !fault(file));
  if (good.length < files.length) {
    const sentences = files.filter(fault).map((file) => `${file.name}: ${fault(file)}`);
    if (!good.length) return say(sentences.join(' '));
    // The others are sent with the next press.
    choose(good);
    return say([...sentences, state.dataset.leftOut].join(' '));
  }
  const bar = document.createElement('progress');
  const label = document.createElement('span');
  label.textContent = ` ${state.dataset.uploading}`;
  bar.max = 1;
  bar.setAttribute('aria-label', state.dataset.uploading);
  state.replaceChildren(bar, label);
  button.disabled = true;

  const request = new XMLHttpRequest();
  request.open('POST', form.action);
  request.setRequestHeader('Accept', 'text/html');
  request.upload.addEventListener('progress', ({ loaded, total }) => { bar.value = total ? loaded / total : 0; });
  // The files stay chosen: the button works again.
  request.addEventListener('error', () => say(state.dataset.lost));
  request.addEventListener('load', () => {
    if (request.status === 200) return location.assign(request.responseURL);
    const page = new DOMParser().parseFromString(request.responseText, 'text/html');
    say(page.querySelector('.sentence')?.textContent ?? state.dataset.lost, page.querySelector('code')?.textContent);
  });
  request.send(new FormData(form));
});
// After the back button.
addEventListener('pageshow', () => { button.disabled = false; });
