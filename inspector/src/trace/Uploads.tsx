import { useElements } from "stepwire/react";
import { Elements } from "../content";

/** Files that were uploaded and belong to nothing yet. */
export function Uploads() {
  if (useElements(null).length === 0) return null;
  return (
    <section className="uploads" aria-labelledby="uploads-title">
      <h2 id="uploads-title">Uploaded, not sent with anything yet</h2>
      <Elements stepId={null} />
    </section>
  );
}
