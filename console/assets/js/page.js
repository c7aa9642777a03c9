// Shows what needs scripts, and times as the reader's clock has them, except where the page names the clock. Lists of calls
// begin with the days of this clock.
document.documentElement.classList.add('js');
for (const time of document.querySelectorAll('time[datetime]:not([data-clock])')) {
  const at = new Date(time.dateTime);
  time.title = time.dateTime;
  time.textContent = at.toLocaleString('sv-SE'); // 2026-11-26 09:44:49, in any language
}
document.cookie = `utc_offset_min=${-new Date().getTimezoneOffset()}; Path=/; Max-Age=31536000; SameSite=Lax`;
