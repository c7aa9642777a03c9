// Shows the state of the fleet anew every few seconds, while someone can see it and uses no link of it.

// Kept in this browser: whoever reads with a screen reader loses the place with every update.
const wanted = document.getElementById('refresh');
wanted.checked = localStorage.getItem('operations-refresh') !== 'off';
wanted.addEventListener('change', () => localStorage.setItem('operations-refresh', wanted.checked ? 'on' : 'off'));

async function refresh() {
  const shown = document.getElementById('operations');
  if (wanted.checked && !document.hidden && !shown.contains(document.activeElement) && getSelection().isCollapsed) {
    // No answer: the console restarts, or the network is down. The page says as of when its numbers are.
    const answer = await fetch(location.href, { headers: { Accept: 'text/html' } }).catch(() => undefined);
    if (answer?.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').getElementById('operations');
      if (fresh) {
        for (const time of fresh.querySelectorAll('time[datetime]')) time.textContent = new Date(time.dateTime).toLocaleString('sv-SE');
        shown.replaceWith(fresh);
      }
    }
  }
  setTimeout(refresh, 5000);
}
setTimeout(refresh, 5000);
