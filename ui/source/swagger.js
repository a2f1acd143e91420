// Swagger UI over this server's own description of its REST routes.
const root = document.getElementById("root");

window.SwaggerUIBundle({
  domNode: root,
  url: root.dataset.openapi,
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null, // The default sends the description to a public validator.
  layout: "BaseLayout",
});
