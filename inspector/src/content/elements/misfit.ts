/** What was fetched is not what its type says. */
export class Misfit extends Error {}
