import { Component, type ErrorInfo, type ReactNode } from "react";

interface Props {
  /** What is not shown because of it, as in "this step". */
  readonly what: string;
  /** When it changes, the children get another chance. */
  readonly of?: unknown;
  readonly children: ReactNode;
}

/** An exception below it is said where it happened, and costs that place alone. */
export class Fault extends Component<Props, { error: unknown; of: unknown }> {
  override state = { error: null as unknown, of: this.props.of };

  static getDerivedStateFromError(error: unknown) {
    return { error: error ?? new Error("unknown") };
  }

  static getDerivedStateFromProps({ of }: Props, state: { error: unknown; of: unknown }) {
    return of === state.of ? null : { error: null, of };
  }

  override componentDidCatch(error: unknown, { componentStack }: ErrorInfo): void {
    console.error(error, componentStack);
  }

  override render(): ReactNode {
    const { error } = this.state;
    if (error === null) return this.props.children;
    return (
      <div className="fault" role="alert">
        <strong>This page cannot show {this.props.what}.</strong> <code>{String(error)}</code>
        <button type="button" className="button quiet" onClick={() => this.setState({ error: null })}>Try again</button>
      </div>
    );
  }
}
