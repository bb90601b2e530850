/**
 * The path under which the gateway stands on its site, with a slash at its end: `/`, or `/stepwire/`
 * behind a proxy or in another application. Modules are below it, in `inspector/`.
 */
export const ROOT = new URL("..", import.meta.url).pathname;

/**
 * What this page keeps in the browser, it keeps for its origin: another gateway may be there too,
 * under another path, and must get neither its tokens nor its sessions.
 *
 * @param {string} name
 */
export const ownKey = (name) => `stepwire.${name}${ROOT === "/" ? "" : ` ${ROOT}`}`;
