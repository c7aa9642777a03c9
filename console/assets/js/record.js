// Records from the microphone: Chrome gives WebM with Opus, Safari MP4 with AAC; the worker decodes both.

export function recorder(button, note, done) {
  if (!navigator.mediaDevices?.getUserMedia || !window.MediaRecorder) {
    button.disabled = true;
    note.textContent = note.dataset.insecure;
    return;
  }
  let recording;
  button.addEventListener('click', async () => {
    if (recording) return recording.stop();
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch {
      note.textContent = note.dataset.denied;
      return;
    }
    const parts = [];
    recording = new MediaRecorder(stream);
    recording.addEventListener('dataavailable', (event) => parts.push(event.data));
    recording.addEventListener('stop', () => {
      const type = recording.mimeType.split(';')[0];
      const ending = type.includes('mp4') ? 'm4a' : type.includes('ogg') ? 'ogg' : 'webm';
      stream.getTracks().forEach((track) => track.stop());
      recording = undefined;
      button.textContent = button.dataset.start;
      button.classList.remove('recording');
      note.textContent = '';
      done(new File(parts, `recording.${ending}`, { type }));
    });
    recording.start();
    button.textContent = button.dataset.stop;
    button.classList.add('recording');
    note.textContent = note.dataset.running;
  });
}
