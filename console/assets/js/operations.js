// Shows the state of the fleet anew every few seconds, while someone can see it and uses no link of it.

async function refresh() {
  const shown = document.getElementById('operations');
  if (!document.hidden && !shown.contains(document.activeElement) && getSelection().isCollapsed) {
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
