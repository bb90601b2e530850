import { useEffect, useState } from "react";

/** What has failed in the page outside of what it shows, as in a stream: said, since what is shown may be wrong from then on. */
export function PageFaults() {
  const [fault, setFault] = useState<string | null>(null);
  useEffect(() => {
    const failed = (error: unknown) => setFault(String(error));
    const onError = ({ error, message }: ErrorEvent) => {
      // A browser says so when a size has to wait for the next frame; nothing has failed.
      if (!message.startsWith("ResizeObserver loop")) failed(error ?? message);
    };
    const onRejection = ({ reason }: PromiseRejectionEvent) => failed(reason);
    addEventListener("error", onError);
    addEventListener("unhandledrejection", onRejection);
    return () => {
      removeEventListener("error", onError);
      removeEventListener("unhandledrejection", onRejection);
    };
  }, []);
  if (fault === null) return null;
  return (
    <div className="banner bad page-fault" role="alert">
      <strong>Something in this page has failed.</strong> <span>What it shows may be out of date.</span> <code>{fault}</code>
      <button type="button" className="button" onClick={() => location.reload()}>Load it again</button>
      <button type="button" className="button quiet" onClick={() => setFault(null)}>Dismiss</button>
    </div>
  );
}
