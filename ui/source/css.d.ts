declare module "*.css"; // esbuild puts it into the style sheet of the page.
