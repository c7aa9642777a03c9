// Marks that scripts run: what needs them becomes visible.
document.documentElement.classList.add('js');
