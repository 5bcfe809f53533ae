// Before anything is drawn: the theme that was chosen on this machine. None chosen: the system's.
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("cairn-theme");
  } catch {
    // no storage: the system's theme
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
