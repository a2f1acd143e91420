// Redoc over this server's own description of its REST routes.
const root = document.getElementById("root");

window.Redoc.init(root.dataset.openapi, { nativeScrollbars: true }, root);
