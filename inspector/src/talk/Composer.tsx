import { useSession } from "../app/session";

/** Where the person writes. It is shown only in a session that takes what is written. */
export function Composer() {
  const session = useSession();
  return (
    <form className="talk-composer" onSubmit={(event) => {
      event.preventDefault();
      const form = event.currentTarget;
      void session.send(String(new FormData(form).get("message")));
      form.reset();
    }}>
      <input name="message" className="field" aria-label="Message" /><button type="submit" className="button primary">Send</button>
    </form>
  );
}
