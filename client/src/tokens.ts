/** Why a token is asked for: it is the first one, it ends soon, or the gateway has refused it. */
export type TokenReason = "first" | "expiring" | "refused";
export type GetToken = (reason: TokenReason) => Promise<string | null> | string | null;

/** A token is renewed so long before its end. */
const AHEAD_MS = 30_000;

/** The token that requests carry. However many want another one at a time, it is asked for once. */
export class Tokens {
  /** The present token, for addresses that a browser opens by itself. */
  current: string | null = null;
  readonly #get: GetToken | undefined;
  #endsAt = Infinity;
  #asking: Promise<string | null> | null = null;
  #asked = false;

  constructor(get: GetToken | undefined) {
    this.#get = get;
  }

  /** The token to send; null if `getToken` is missing or gives none, as with a cookie. */
  async take(): Promise<string | null> {
    if (!this.#get) return null;
    if (!this.#asked) return this.#renew("first");
    return Date.now() > this.#endsAt - AHEAD_MS ? this.#renew("expiring") : this.current;
  }

  /** Another token than the one that was refused; null if `getToken` gives no other. */
  async replace(refused: string | null): Promise<string | null> {
    if (!this.#get) return null;
    const token = this.current === refused ? await this.#renew("refused") : this.current;
    return token === refused ? null : token;
  }

  #renew(reason: TokenReason): Promise<string | null> {
    return (this.#asking ??= this.#ask(reason).finally(() => (this.#asking = null)));
  }

  async #ask(reason: TokenReason): Promise<string | null> {
    const token = (await this.#get!(reason)) ?? null;
    this.#asked = true;
    this.current = token;
    const exp = claimsOf(token)["exp"];
    const endsAt = typeof exp === "number" ? exp * 1000 : Infinity;
    // One that seems to end at once comes from a clock that is off: the gateway will say when it has ended.
    this.#endsAt = endsAt > Date.now() + AHEAD_MS ? endsAt : Infinity;
    return token;
  }
}

/** The claims of a JSON Web Token; empty for any other token. */
export function claimsOf(token: string | null): Readonly<Record<string, unknown>> {
  try {
    const part = token?.split(".")[1] ?? "";
    return JSON.parse(atob(part.replaceAll("-", "+").replaceAll("_", "/"))) as Record<string, unknown>;
  } catch {
    return {};
  }
}
