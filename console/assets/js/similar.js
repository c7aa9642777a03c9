// The recordings whose embeddings are nearest.

export async function similar(section, data) {
  if (!section) return; // without an embedding
  const answer = await fetch(section.dataset.similar).catch(() => undefined);
  if (!answer?.ok) return;
  const { items, compared } = await answer.json();
  if (!items.length) return;
  section.querySelector('ol').replaceChildren(...items.map(({ similarity, analysis }) => {
    const link = document.createElement('a');
    link.href = analysis.links.page;
    link.textContent = analysis.recording.name;
    const emotion = document.createElement('span');
    const known = data.emotions[analysis.emotion];
    emotion.textContent = known ? `${known.emoji} ${known.name}` : '';
    const number = document.createElement('span');
    number.className = 'numbers';
    number.textContent = similarity.toFixed(2);
    const item = document.createElement('li');
    item.append(number, link, emotion);
    return item;
  }));
  section.querySelector('.hint').textContent = `${section.dataset.compared} ${compared}`;
  section.hidden = false;
}
