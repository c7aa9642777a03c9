// The description of the API: copying, and an address that opens the operation that it names.
import './copy.js';

function unfold() {
  const named = document.getElementById(location.hash.slice(1));
  if (named instanceof HTMLDetailsElement) named.open = true;
}
addEventListener('hashchange', unfold);
unfold();
