import { follow, hrefOf } from "../app/address";
import { local, span, useNow } from "./time";

export function Since({ at }: { readonly at: string }) {
  return <time dateTime={at} title={local(at)}>{span(useNow(1000) - Date.parse(at))}</time>;
}

export function Session({ id, words }: { readonly id: string; readonly words: string }) {
  return <a href={hrefOf({ session: id })} title={`Session ${id}`} onClick={(event) => follow(event, { session: id })}><bdi>{words}</bdi></a>;
}
