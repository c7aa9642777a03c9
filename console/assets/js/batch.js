// Updates the table of a batch until all of its jobs have ended.

async function refresh() {
  // No answer: the console restarts, or the network is down.
  const answer = await fetch(location.href, { headers: { Accept: 'text/html' } }).catch(() => undefined);
  if (answer?.ok) {
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const fresh = page.getElementById('batch');
    // The login, where the session has ended.
    if (!fresh) return location.reload();
    document.getElementById('batch').replaceWith(fresh);
    if (fresh.dataset.complete === 'true') return;
  }
  setTimeout(refresh, 1500);
}
setTimeout(refresh, 1000);
