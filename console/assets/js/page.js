// Shows what needs scripts.
document.documentElement.classList.add('js');
