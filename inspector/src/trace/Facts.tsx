import { follow, hrefOf, type Address } from "../app/address";
import { CopyButton } from "../content";

export type Fact = readonly [name: string, value: string | number | null, place?: Partial<Address> | null | ""];

/** Names and values, of which each can be copied; what has no value is left out. */
export function Facts({ facts }: { readonly facts: readonly Fact[] }) {
  return (
    <dl className="facts">
      {facts.map(([name, value, place]) => value !== null && value !== undefined && (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            {place ? <a href={hrefOf(place)} onClick={(event) => follow(event, place)}><code>{value}</code></a> : <code>{value}</code>}
            {typeof value === "string" && <CopyButton text={() => value} what={`value of ${name}`} />}
          </dd>
        </div>
      ))}
    </dl>
  );
}
