import { useConnection } from "stepwire/react";

/** How the stream is doing. */
export function Status() {
  const { state, error } = useConnection();
  return <footer className="status" id="status" data-connection={state}>{state} {error?.message}</footer>;
}
