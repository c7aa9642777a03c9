// Shows what needs scripts, and times as the reader's clock has them.
document.documentElement.classList.add('js');
for (const time of document.querySelectorAll('time[datetime]')) {
  const at = new Date(time.dateTime);
  time.title = time.dateTime;
  time.textContent = at.toLocaleString('sv-SE'); // 2026-11-26 09:44:49, in any language
}
