// Redoc over this server's own description of its REST routes.
const root = document.getElementById("root");

document.body.style.margin = "0";
window.Redoc.init(root.dataset.openapi, { nativeScrollbars: true }, root);
