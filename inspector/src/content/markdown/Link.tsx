import type { ReactNode } from "react";
import { Icon } from "../../design/Icon";
import { saysPlace, targetOf } from "./links";

interface Props {
  readonly address: string;
  /** Its words without markup. */
  readonly words: string;
  readonly children?: ReactNode;
}

/** A link that somebody else has written: it says which site it leads to, unless its words do. */
export function Link({ address, words, children }: Props) {
  const target = targetOf(address);
  // A script, a file or half an address: the words stay, and what they would have led to can be read.
  if (!target) return <span className="md-no-link" title={address}>{children}</span>;
  return (
    <a href={target.href} target="_blank" rel="noopener noreferrer nofollow" dir="auto">
      {children}
      {!saysPlace(words, target.place) && <span className="md-place"> ({target.place})</span>}
    </a>
  );
}

/**
 * A picture in a text is a link. To load it would tell its site that and when this is read, and whatever the
 * text has put into the address.
 */
export function ImageLink({ address, words }: Omit<Props, "children">) {
  const label = words.trim() || "picture";
  return (
    <span className="md-image">
      <Icon name="link" />
      <Link address={address} words="">{label}</Link>
    </span>
  );
}
