// Follows a job by server-sent events, and shows its result when it has ended.

const section = document.getElementById('progress');
const order = ['stored', 'queued', 'taken', 'analyze', 'upload', 'done'];
const stages = { queued: 'queued', retrying: 'queued', taken: 'taken', fetch: 'taken', analyze: 'analyze', upload: 'upload', done: 'done' };

function show(progress) {
  const now = order.indexOf(stages[progress.stage] ?? 'queued');
  for (const step of section.querySelectorAll('[data-step]')) {
    const at = order.indexOf(step.dataset.step);
    step.classList.toggle('done', at < now || progress.stage === 'done');
    step.classList.toggle('now', at === now && progress.stage !== 'done');
  }
  const detail = (step, text) => { section.querySelector(`[data-step=${step}] .detail`).textContent = text; };
  detail('queued', progress.stage === 'retrying' ? section.dataset.retrying : progress.place ? `(${section.dataset.place} ${progress.place} ${section.dataset.of} ${progress.waiting})` : '');
  detail('taken', progress.worker ? `(${section.dataset.worker} ${progress.worker})` : '');
  // How many segments follow is not known before the end.
  detail('analyze', progress.done !== undefined ? `${progress.done} ${section.dataset.segments}` : '');
}

const events = new EventSource(section.dataset.events);
events.addEventListener('progress', (event) => show(JSON.parse(event.data)));
// A browser connects again where the connection breaks, and gives up where the answer is an error: the console restarts, or
// the session has ended.
events.addEventListener('error', () => {
  if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
});
for (const end of ['done', 'failed', 'deleted']) {
  events.addEventListener(end, () => { events.close(); location.reload(); });
}
