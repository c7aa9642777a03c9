// Shows what needs scripts, and times as the reader's clock has them.
document.documentElement.classList.add('js');
for (const time of document.querySelectorAll('time[datetime]')) {
  const at = new Date(time.dateTime);
  const options = { year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false };
  time.title = time.dateTime;
  time.textContent = at.toLocaleString(document.documentElement.lang, options);
}
