// Live pages: fetch this page every second and swap its <main>. A failed fetch leaves the last good picture.
const refresh = async () => {
  if (!document.hidden) {
    try {
      const page = await fetch(location.href, { headers: { accept: "text/html" } });
      if (page.ok) {
        const fresh = new DOMParser().parseFromString(await page.text(), "text/html").getElementById("main");
        const main = document.getElementById("main");
        if (fresh && fresh.innerHTML !== main.innerHTML) main.replaceWith(fresh);
      }
    } catch { /* the server is restarting */ }
  }
  setTimeout(refresh, 1000);
};
setTimeout(refresh, 1000);
